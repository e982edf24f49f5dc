"""Necks: feature pyramid [C2, C3, C4, C5] -> one fused map `[B, H / 4, W / 4, channels]`."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from ppocr_jax.models.layers import Conv, SqueezeExcite, kaiming_uniform, upsample
from ppocr_jax.models.norm import BatchNorm, identity


class RSELayer(nn.Module):
    """Bare convolution, then x + SE(x), or SE(x) alone without `shortcut` (PP-OCRv3, 3.1)."""

    features: int
    size: int
    shortcut: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, area=None):
        x = Conv(
            self.features, self.size, kernel_init=kaiming_uniform, dtype=self.dtype, name="in_conv"
        )(x, area)
        gated = SqueezeExcite(dtype=self.dtype, name="se_block")(x, area)
        return x + gated if self.shortcut else gated


def top_down(laterals):
    """Adds each coarser map, doubled, to the next finer one: [P2, P3, P4, P5] in and out."""
    merged = [laterals[-1]]
    for finer in reversed(laterals[:-1]):
        merged.insert(0, finer + upsample(merged[0], 2))
    return merged


def fuse(levels):
    """Levels [P2, P3, P4, P5] at the finest size, coarsest first: the order of the weights."""
    grown = [upsample(level, 2**i) if i else level for i, level in enumerate(levels)]
    return jnp.concatenate(grown[::-1], axis=-1)


class RSEFPN(nn.Module):
    """Feature pyramid with residual squeeze-excite (PP-OCRv3, arXiv:2206.03001)."""

    channels: int = 96
    shortcut: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features, train=False, area=None):
        def layer(width, size, name):
            return RSELayer(width, size, self.shortcut, dtype=self.dtype, name=name)

        laterals = [
            layer(self.channels, 1, f"ins_conv_{i}")(feature, area)
            for i, feature in enumerate(features)
        ]
        levels = [
            layer(self.channels // 4, 3, f"inp_conv_{i}")(level, area)
            for i, level in enumerate(top_down(laterals))
        ]
        return fuse(levels)


class DBFPN(nn.Module):
    """The plain feature pyramid of DB (arXiv:1911.08947): bare 1x1 and 3x3 convolutions."""

    channels: int = 256
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features, train=False, area=None):
        def layer(width, size, name):
            return Conv(width, size, kernel_init=kaiming_uniform, dtype=self.dtype, name=name)

        laterals = [
            layer(self.channels, 1, f"in{i}_conv")(feature, area)
            for i, feature in enumerate(features, 2)
        ]
        levels = [
            layer(self.channels // 4, 3, f"p{i}_conv")(level, area)
            for i, level in enumerate(top_down(laterals), 2)
        ]
        return fuse(levels)


class SeparableBlock(nn.Module):
    """Depthwise 9x9, 1x1 to four times the channels, 1x1 down; batch norms but none at the end.

    A 1x1 projection of the input is added where the number of channels changes, and nothing
    where it does not.
    """

    features: int
    size: int = 9
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train=False, area=None):
        channels = x.shape[-1]

        def conv(name, features, size=1, groups=1):
            return Conv(features, size, groups=groups, dtype=self.dtype, name=name)

        def normalise(name, x, act):
            return BatchNorm(act, dtype=self.dtype, name=name)(x, train)

        out = normalise("bn1", conv("conv1", channels, self.size, channels)(x, area), identity)
        out = normalise("bn2", conv("conv2", 4 * channels)(out), nn.relu)
        out = conv("conv3", self.features)(out)
        return out if channels == self.features else out + conv("conv_end", self.features)(x)


class LKPAN(nn.Module):
    """Path aggregation with large kernels (PP-OCRv3, arXiv:2206.03001), the teacher's neck.

    Attributes:
        channels: of the fused map; each level has a quarter of them.
        mode: "large", bare 9x9 convolutions; "lite", separable blocks in their place.
    """

    channels: int = 256
    mode: str = "large"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features, train=False, area=None):
        if self.mode not in ("large", "lite"):
            raise ValueError(f"mode should be large or lite, got {self.mode!r}")
        width = self.channels // 4

        def bare(name, features, size, stride=1):
            return Conv(
                features, size, stride, kernel_init=kaiming_uniform, dtype=self.dtype, name=name
            )

        def wide(name, x):
            if self.mode == "large":
                return bare(name, width, 9)(x, area)
            return SeparableBlock(width, dtype=self.dtype, name=name)(x, train, area)

        laterals = [
            bare(f"ins_conv_{i}", self.channels, 1)(feature, area)
            for i, feature in enumerate(features)
        ]
        levels = [wide(f"inp_conv_{i}", level) for i, level in enumerate(top_down(laterals))]
        for i in range(3):  # bottom-up, each finer level halved into the next
            halved = bare(f"pan_head_conv_{i}", width, 3, 2)(levels[i], area)
            levels[i + 1] = levels[i + 1] + halved
        return fuse([wide(f"pan_lat_conv_{i}", level) for i, level in enumerate(levels)])
