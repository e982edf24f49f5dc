"""Neck DB-FPN: [C2, C3, C4, C5] -> one fused map `[B, H / 4, W / 4, channels]`."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from ppocr_jax.models.initial import kaiming_uniform
from ppocr_jax.models.layers import Conv
from ppocr_jax.models.pyramid import fuse, require_channels, top_down


class DBFPN(nn.Module):
    """The plain feature pyramid of DB (arXiv:1911.08947): bare 1x1 and 3x3 convolutions."""

    channels: int = 256
    dtype: Any = jnp.float32

    def __post_init__(self):
        require_channels(self.channels)
        super().__post_init__()

    @nn.compact
    def __call__(self, features, train=False):
        def layer(width, size, name):
            return Conv(width, size, kernel_init=kaiming_uniform, dtype=self.dtype, name=name)

        laterals = [
            layer(self.channels, 1, f"in{i}_conv")(feature) for i, feature in enumerate(features, 2)
        ]
        levels = [
            layer(self.channels // 4, 3, f"p{i}_conv")(level)
            for i, level in enumerate(top_down(laterals), 2)
        ]
        return fuse(levels)
