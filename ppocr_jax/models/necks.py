"""Necks: feature pyramid [C2, C3, C4, C5] -> one fused map `[B, H / 4, W / 4, channels]`."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from ppocr_jax.models.layers import Conv, SqueezeExcite, kaiming_uniform, upsample


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
    def __call__(self, features, area=None):
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
