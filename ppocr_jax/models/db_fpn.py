"""DB-FPN neck: feature maps [C2, C3, C4, C5] -> one fused map `[B, H / 4, W / 4, channels]`."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from ppocr_jax.models.initial import kaiming_uniform
from ppocr_jax.models.layers import Conv
from ppocr_jax.models.pyramid import fuse, require_channels, top_down


class DBFPN(nn.Module):
    """The plain feature pyramid of DB (arXiv:1911.08947).

    Its 1x1 and 3x3 convolutions have no bias, batch norm or activation.

    Attributes:
        channels: of the fused map; each level contributes a quarter.
    """

    channels: int = 256
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        require_channels(self.channels)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, features: Sequence[Float[Array, "B _ _ _"]], train: bool = False
    ) -> Float[Array, "B H W O"]:
        """Fuses [C2, C3, C4, C5] into one map of `channels` at the size of C2."""

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
