"""ResNet-vd backbone: `[B, H, W, 3]` -> feature maps [C2, C3, C4, C5] at strides 4 to 32."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from ppocr_jax.models.layers import ConvBN, rematerialised
from ppocr_jax.models.operations import apart, identity, max_pool, mean_pool, relu, relu_kept
from ppocr_jax.models.paddle_names import PaddleNames


class Bottleneck(nn.Module):
    """1x1 convolution, 3x3 with the stride, 1x1 to four times the width; shortcut; ReLU.

    Where the shape changes, the shortcut is 2x2 mean pooling for the stride, then a 1x1
    convolution. This is the "vd" variant (arXiv:1812.01187, ResNet-D): unlike a 1x1 convolution
    with stride 2 it ignores no pixel.

    Attributes:
        width: channels of the first two convolutions.
        stride: of the 3x3 convolution.
        project: whether the shape changes, so that the shortcut needs a convolution.
    """

    width: int
    stride: int
    project: bool
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool = False) -> Float[Array, "B h w O"]:
        """Applies the block."""

        def layer(name, features, size=1, stride=1, act=relu):
            return ConvBN(features, size, stride, act=act, dtype=self.dtype, name=name)

        out = layer("conv0", self.width)(apart(x) if self.stride == 2 else x, train)
        out = layer("conv1", self.width, 3, self.stride)(out, train)
        out = layer("conv2", 4 * self.width, act=identity)(out, train)
        if self.project:
            if self.stride == 2:
                x = mean_pool(x)
            x = layer("short", 4 * self.width, act=identity)(x, train)
        return relu_kept(x + out)  # the next block keeps this result anyway, not the sum


class ResNetVD(nn.Module):
    """ResNet-50 in its "vd" variant (arXiv:1512.03385, 1812.01187), the teacher's backbone.

    The feature maps are the outputs of the four stages; at the default width they have 256, 512,
    1024 and 2048 channels.

    Attributes:
        depths: number of blocks in each stage.
        width: channels inside the blocks of the first stage; 64 is the published value.
        remat: saves memory in the backward pass, see `layers.rematerialised`.
    """

    depths: tuple[int, ...] = (3, 4, 6, 3)
    width: int = 64
    remat: bool = False
    dtype: Any = jnp.float32

    paddle = PaddleNames(
        inside=r"bb_\d+_\d+|conv1_\d+", renamed={"conv": "_conv", "bn": "_batch_norm"}
    )

    def __post_init__(self) -> None:
        if len(self.depths) != 4 or not all(1 <= depth <= 64 for depth in self.depths):
            raise ValueError(f"depths={self.depths}: should be four numbers of 1 to 64")
        if not 2 <= self.width <= 512:
            raise ValueError(f"width={self.width}: should be 2 to 512")
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: Float[Array, "B H W 3"], train: bool = False
    ) -> list[Float[Array, "B _ _ _"]]:
        """Feature maps [C2, C3, C4, C5] at strides 4, 8, 16 and 32."""
        # The stem: three 3x3 convolutions in place of ResNet's 7x7, also from ResNet-D.
        for index, features in enumerate((self.width // 2, self.width // 2, self.width), 1):
            x = ConvBN(
                features,
                3,
                2 if index == 1 else 1,
                act=relu,
                dtype=self.dtype,
                name=f"conv1_{index}",
            )(x, train)
        x = max_pool(x)
        block = rematerialised(Bottleneck, self.remat)
        taps = []
        for stage, depth in enumerate(self.depths):
            for index in range(depth):
                x = block(
                    self.width * 2**stage,
                    # The max pooling above has halved the map for the first stage already.
                    2 if index == 0 and stage > 0 else 1,
                    project=index == 0,
                    dtype=self.dtype,
                    name=f"bb_{stage}_{index}",
                )(x, train)
            taps.append(apart(x))
        return taps
