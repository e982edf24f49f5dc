"""Neck RSE-FPN: [C2, C3, C4, C5] -> one fused map `[B, H / 4, W / 4, channels]`."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from ppocr_jax.models.initial import kaiming_uniform
from ppocr_jax.models.layers import Conv, SqueezeExcite
from ppocr_jax.models.paddle_names import PaddleNames
from ppocr_jax.models.pyramid import fuse, require_channels, top_down


class RSELayer(nn.Module):
    """Bare convolution, then x + SE(x), or SE(x) alone without `shortcut` (PP-OCRv3, 3.1)."""

    features: int
    size: int
    shortcut: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        x = Conv(
            self.features,
            self.size,
            kernel_init=kaiming_uniform,
            dtype=self.dtype,
            name="in_conv",
        )(x)
        gated = SqueezeExcite(dtype=self.dtype, name="se_block")(x)
        return x + gated if self.shortcut else gated


class RSEFPN(nn.Module):
    """Feature pyramid with residual squeeze-excite (PP-OCRv3, arXiv:2206.03001)."""

    channels: int = 96
    shortcut: bool = True
    dtype: Any = jnp.float32

    paddle = PaddleNames(lists="ins_conv|inp_conv")

    def __post_init__(self):
        require_channels(self.channels)
        super().__post_init__()

    @nn.compact
    def __call__(self, features, train=False):
        def layer(width, size, name):
            return RSELayer(width, size, self.shortcut, dtype=self.dtype, name=name)

        laterals = [
            layer(self.channels, 1, f"ins_conv_{i}")(feature) for i, feature in enumerate(features)
        ]
        levels = [
            layer(self.channels // 4, 3, f"inp_conv_{i}")(level)
            for i, level in enumerate(top_down(laterals))
        ]
        return fuse(levels)
