"""RSE-FPN neck: feature maps [C2, C3, C4, C5] -> one fused map `[B, H / 4, W / 4, channels]`."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from ppocr_jax.models.initial import kaiming_uniform
from ppocr_jax.models.layers import Conv, SqueezeExcite, uses_gpu_form
from ppocr_jax.models.operations import mean
from ppocr_jax.models.paddle_names import PaddleNames
from ppocr_jax.models.pyramid import fuse, require_channels, top_down


class RSELayer(nn.Module):
    """Convolution y without bias or activation, then y + SE(y) (PP-OCRv3, section 3.1).

    Attributes:
        features: output channels.
        size: kernel size.
        shortcut: whether y is added; without it the result is SE(y).
    """

    features: int
    size: int
    shortcut: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W O"]:
        """Applies the layer."""
        conv = Conv(
            self.features, self.size, kernel_init=kaiming_uniform, dtype=self.dtype, name="in_conv"
        )
        excite = SqueezeExcite(dtype=self.dtype, name="se_block")
        if self.size == 1 and uses_gpu_form(self, x):
            return self._gated_kernels(x, conv.kernel()[0, 0], excite)
        x = conv(x)
        gated = excite(x)
        return x + gated if self.shortcut else gated

    def _gated_kernels(
        self, x: Float[Array, "B H W C"], kernel: Float[Array, "C O"], excite: SqueezeExcite
    ) -> Float[Array, "B H W O"]:
        """The same 1x1 layer, with the gates multiplied into one kernel per image.

        A 1x1 convolution is linear, so the mean of its output is the convolved mean of its input.
        The gates are thus known before the convolution, and its output need not be read once for
        their means and again to be scaled.
        """
        means = jnp.einsum("byxc,cd->byxd", mean(x), kernel)
        gate = excite(None, means) + (1 if self.shortcut else 0)
        return jnp.einsum("byxc,bcd->byxd", x, kernel[None] * gate[:, 0])


class RSEFPN(nn.Module):
    """Feature pyramid with residual squeeze-excite (PP-OCRv3, arXiv:2206.03001), for the student.

    Attributes:
        channels: of the fused map; each level contributes a quarter.
        shortcut: see `RSELayer`.
    """

    channels: int = 96
    shortcut: bool = True
    dtype: Any = jnp.float32

    paddle = PaddleNames(lists="ins_conv|inp_conv")

    def __post_init__(self) -> None:
        require_channels(self.channels)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, features: Sequence[Float[Array, "B _ _ _"]], train: bool = False
    ) -> Float[Array, "B H W O"]:
        """Fuses [C2, C3, C4, C5] into one map of `channels` at the size of C2."""

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
