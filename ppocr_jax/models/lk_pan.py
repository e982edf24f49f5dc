"""LK-PAN neck: feature maps [C2, C3, C4, C5] -> one fused map `[B, H / 4, W / 4, channels]`."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from ppocr_jax.models.initial import kaiming_uniform
from ppocr_jax.models.layers import BatchNorm, Conv
from ppocr_jax.models.operations import identity, relu
from ppocr_jax.models.paddle_names import PaddleNames
from ppocr_jax.models.pyramid import fuse, require_channels, top_down


class SeparableBlock(nn.Module):
    """Depthwise 9x9, 1x1 to four times the channels, 1x1 to `features`; no batch norm at the end.

    A 1x1 projection of the input is added only if the number of channels changes. Unlike in other
    residual blocks, an input of the right shape is not added: so it is in PaddleOCR.

    Attributes:
        features: output channels.
        size: kernel size of the depthwise convolution.
    """

    features: int
    size: int = 9
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool = False) -> Float[Array, "B H W O"]:
        """Applies the block."""
        channels = x.shape[-1]

        def conv(name, features, size=1, groups=1):
            return Conv(features, size, groups=groups, dtype=self.dtype, name=name)

        def normalise(name, x, act):
            return BatchNorm(act, dtype=self.dtype, name=name)(x, train)

        out = normalise("bn1", conv("conv1", channels, self.size, channels)(x), identity)
        out = normalise("bn2", conv("conv2", 4 * channels)(out), relu)
        out = conv("conv3", self.features)(out)
        return out if channels == self.features else out + conv("conv_end", self.features)(x)


class LKPAN(nn.Module):
    """Path aggregation network with large kernels (PP-OCRv3, arXiv:2206.03001), for the teacher.

    Attributes:
        channels: of the fused map; each level contributes a quarter.
        mode: "large" for dense 9x9 convolutions, "lite" for a `SeparableBlock` instead of each.
    """

    channels: int = 256
    mode: str = "large"
    dtype: Any = jnp.float32

    paddle = PaddleNames(lists="ins_conv|inp_conv|pan_head_conv|pan_lat_conv")

    def __post_init__(self) -> None:
        if self.mode not in ("large", "lite"):
            raise ValueError(f"mode={self.mode!r}: should be large or lite")
        require_channels(self.channels)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, features: Sequence[Float[Array, "B _ _ _"]], train: bool = False
    ) -> Float[Array, "B H W O"]:
        """Fuses [C2, C3, C4, C5] into one map of `channels` at the size of C2."""

        width = self.channels // 4

        def bare(name, features, size, stride=1):
            return Conv(
                features,
                size,
                stride,
                kernel_init=kaiming_uniform,
                dtype=self.dtype,
                name=name,
            )

        def wide(name, x):
            if self.mode == "large":
                return bare(name, width, 9)(x)
            return SeparableBlock(width, dtype=self.dtype, name=name)(x, train)

        laterals = [
            bare(f"ins_conv_{i}", self.channels, 1)(feature) for i, feature in enumerate(features)
        ]
        # Top-down, then bottom-up: each finer level is halved and added to the next coarser one.
        levels = [wide(f"inp_conv_{i}", level) for i, level in enumerate(top_down(laterals))]
        for i in range(3):
            halved = bare(f"pan_head_conv_{i}", width, 3, 2)(levels[i])
            levels[i + 1] = levels[i + 1] + halved
        return fuse([wide(f"pan_lat_conv_{i}", level) for i, level in enumerate(levels)])
