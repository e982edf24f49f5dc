"""MobileNetV3 backbone: `[B, H, W, 3]` -> feature maps [C2, C3, C4, C5] at strides 4 to 32."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from ppocr_jax.models.layers import ConvBN, SqueezeExcite, rematerialised
from ppocr_jax.models.operations import hard_swish, identity, relu
from ppocr_jax.models.paddle_names import PaddleNames

# MobileNetV3-large at scale 1: kernel size, expanded channels, output channels, squeeze-excite,
# activation, stride. Where squeeze-excite and activations differ from the paper, they follow
# PaddleOCR's detection variant.
MOBILENET_V3_LARGE = (
    (3, 16, 16, False, relu, 1),
    (3, 64, 24, False, relu, 2),
    (3, 72, 24, False, relu, 1),
    (5, 72, 40, True, relu, 2),
    (5, 120, 40, True, relu, 1),
    (5, 120, 40, True, relu, 1),
    (3, 240, 80, False, hard_swish, 2),
    (3, 200, 80, False, hard_swish, 1),
    (3, 184, 80, False, hard_swish, 1),
    (3, 184, 80, False, hard_swish, 1),
    (3, 480, 112, True, hard_swish, 1),
    (3, 672, 112, True, hard_swish, 1),
    (5, 672, 160, True, hard_swish, 2),
    (5, 960, 160, True, hard_swish, 1),
    (5, 960, 160, True, hard_swish, 1),
)
STEM, LAST = 16, 960  # channels of the first and the last convolution at scale 1


def round_channels(value: float, divisor: int = 8) -> int:
    """Rounds to a multiple of `divisor`, but never below 0.9 of `value` (MobileNetV2's code)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise convolution, 1x1 projection; plus the input if shapes match.

    The first block has its 1x1 expansion too, although there it does not widen the map.

    Attributes:
        size: kernel size of the depthwise convolution.
        expanded: channels between expansion and projection.
        features: output channels.
        squeeze_excite: whether a gate stands before the projection.
        act: activation after the first two convolutions.
        stride: of the depthwise convolution.
    """

    size: int
    expanded: int
    features: int
    squeeze_excite: bool
    act: Any
    stride: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool = False) -> Float[Array, "B h w O"]:
        """Applies the block."""
        out = ConvBN(self.expanded, act=self.act, dtype=self.dtype, name="expand_conv")(x, train)
        out = ConvBN(
            self.expanded,
            self.size,
            self.stride,
            groups=self.expanded,
            act=self.act,
            dtype=self.dtype,
            name="bottleneck_conv",
        )(out, train)
        if self.squeeze_excite:
            out = SqueezeExcite(dtype=self.dtype, name="mid_se")(out)
        # No activation after the projection: the "linear bottleneck" of MobileNetV2.
        out = ConvBN(self.features, act=identity, dtype=self.dtype, name="linear_conv")(out, train)
        return x + out if x.shape == out.shape else out


class MobileNetV3(nn.Module):
    """MobileNetV3-large (arXiv:1905.02244), the backbone of the PP-OCRv3 student.

    The feature maps are taken just before each stride-2 block, and at the end. At scale 0.5 they
    have 16, 24, 56 and 480 channels.

    Attributes:
        scale: width factor; channels are rounded to multiples of 8.
        squeeze_excite: whether to keep the paper's gates. The published detector drops them.
        blocks: rows of the table to build; fewer than all only in experiments and tests.
        remat: saves memory in the backward pass, see `layers.rematerialised`.
    """

    scale: float = 0.5
    squeeze_excite: bool = False
    blocks: tuple[int, ...] = tuple(range(len(MOBILENET_V3_LARGE)))
    remat: bool = False
    dtype: Any = jnp.float32

    paddle = PaddleNames(lists=r"stage\d+")

    def __post_init__(self) -> None:
        if not 0.05 <= self.scale <= 8:
            raise ValueError(f"scale={self.scale}: should be 0.05 to 8")
        # Rows 3, 6 and 12 halve the map: without one of them a stride would be missing.
        halving = [number for number in self.blocks if number in (3, 6, 12)]
        good = all(0 <= number < len(MOBILENET_V3_LARGE) for number in self.blocks)
        if not good or halving != [3, 6, 12] or len(self.blocks) > 64:
            raise ValueError(
                f"blocks={self.blocks}: should be rows 0 to 14, with 3, 6 and 12 once each in order"
            )
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: Float[Array, "B H W 3"], train: bool = False
    ) -> list[Float[Array, "B _ _ _"]]:
        """Feature maps [C2, C3, C4, C5] at strides 4, 8, 16 and 32."""
        stem = round_channels(STEM * self.scale)
        x = ConvBN(stem, 3, 2, act=hard_swish, dtype=self.dtype, name="conv")(x, train)
        block = rematerialised(InvertedResidual, self.remat)
        taps, stage, index = [], 0, 0
        for number in self.blocks:
            size, expanded, features, gate, act, stride = MOBILENET_V3_LARGE[number]
            # Row 1 halves the map as well, but stride 2 is not a level of the pyramid.
            if stride == 2 and number > 2:
                taps.append(x)
                stage, index = stage + 1, 0
            x = block(
                size,
                round_channels(expanded * self.scale),
                round_channels(features * self.scale),
                gate and self.squeeze_excite,
                act,
                stride,
                dtype=self.dtype,
                name=f"stage{stage}_{index}",
            )(x, train)
            index += 1
        last = round_channels(LAST * self.scale)
        x = ConvBN(last, act=hard_swish, dtype=self.dtype, name=f"stage{stage}_{index}")(x, train)
        return [*taps, x]
