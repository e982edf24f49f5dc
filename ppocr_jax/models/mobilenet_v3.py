"""Backbone MobileNetV3: `[B, H, W, 3]` -> [C2, C3, C4, C5] at strides 4, 8, 16, 32."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from ppocr_jax.models.layers import ConvBN, SqueezeExcite, rematerialised
from ppocr_jax.models.operations import hard_swish, identity, relu
from ppocr_jax.models.paddle_names import PaddleNames

# MobileNetV3-large at scale 1: kernel, expanded, output, squeeze-excite, activation, stride.
# Unlike the paper, squeeze-excite and activations follow PaddleOCR's detection variant.
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
STEM, LAST = 16, 960  # channels at scale 1


def round_channels(value, divisor=8):
    """The multiple of `divisor` nearest to `value`, never below 0.9 of it (MobileNetV2 code)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise k x k, project 1x1; identity around it when shapes allow.

    The expansion is there in the first block too, where it expands nothing.
    """

    size: int
    expanded: int
    features: int
    squeeze_excite: bool
    act: Any
    stride: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train=False):
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
        out = ConvBN(self.features, act=identity, dtype=self.dtype, name="linear_conv")(out, train)
        return x + out if x.shape == out.shape else out


class MobileNetV3(nn.Module):
    """MobileNetV3-large (arXiv:1905.02244) as PP-OCRv3 detects with it.

    Taps are the outputs before each further halving: at scale 0.5, 16, 24, 56 and 480 channels.

    Attributes:
        scale: width factor; channels are rounded to multiples of 8.
        squeeze_excite: keep the gates of the paper. The published detector drops them.
        blocks: which rows of the table are built; all of them but in experiments and tests.
        remat: keep only the blocks' inputs for the backward pass, see `layers.rematerialised`.
    """

    scale: float = 0.5
    squeeze_excite: bool = False
    blocks: tuple[int, ...] = tuple(range(len(MOBILENET_V3_LARGE)))
    remat: bool = False
    dtype: Any = jnp.float32

    paddle = PaddleNames(lists=r"stage\d+")

    def __post_init__(self):
        if not 0.05 <= self.scale <= 8:
            raise ValueError(f"scale={self.scale}: should be 0.05 to 8")
        halving = [number for number in self.blocks if number in (3, 6, 12)]
        good = all(0 <= number < len(MOBILENET_V3_LARGE) for number in self.blocks)
        if not good or halving != [3, 6, 12] or len(self.blocks) > 64:
            raise ValueError(f"blocks={self.blocks}: should be rows 0 to 14 with 3, 6 and 12 once")
        super().__post_init__()

    @nn.compact
    def __call__(self, x, train=False):
        stem = round_channels(STEM * self.scale)
        x = ConvBN(stem, 3, 2, act=hard_swish, dtype=self.dtype, name="conv")(x, train)
        block = rematerialised(InvertedResidual, self.remat)
        taps, stage, index = [], 0, 0
        for number in self.blocks:
            size, expanded, features, gate, act, stride = MOBILENET_V3_LARGE[number]
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
