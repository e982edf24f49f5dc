"""Head: fused map at stride 4 -> maps at full size, by differentiable binarization."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from ppocr_jax.models.layers import BatchNorm, Conv, TransposedConv
from ppocr_jax.models.operations import binarise, draw_map, relu


class MapBranch(nn.Module):
    """One map: k x k convolution, two doublings, sigmoid. `[B, h, w, C]` to `[B, 4h, 4w]`.

    The last addition and the sigmoid run in float32 whatever `dtype` is.
    """

    size: int = 3
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train=False):
        width = x.shape[-1] // 4
        bound = width**-0.5  # for both biases, the single one of the last layer too

        def normalise(x, name):
            return BatchNorm(relu, 1e-4, self.dtype, name=name)(x, train)

        x = Conv(width, self.size, dtype=self.dtype, name="conv1")(x)
        x = normalise(x, "conv_bn1")
        x = TransposedConv(width, bound, dtype=self.dtype, name="conv2")(x)
        x = normalise(x, "conv_bn2")
        return draw_map(TransposedConv(1, bound, dtype=self.dtype, name="conv3")(x))


class DBHead(nn.Module):
    """Shrink, threshold and binary map (DB, arXiv:1911.08947).

    Attributes:
        kernels: sizes of the three layers; the two transposed ones are always 2.
        k: steepness of the binary map 1 / (1 + exp(-k (P - T))).
    """

    kernels: tuple[int, int, int] = (3, 2, 2)
    k: float = 50.0
    dtype: Any = jnp.float32

    def __post_init__(self):
        odd = self.kernels[:1] and self.kernels[0] % 2 and 1 <= self.kernels[0] <= 31
        if len(self.kernels) != 3 or tuple(self.kernels[1:]) != (2, 2) or not odd:
            raise ValueError(f"kernels={self.kernels}: should be an odd size up to 31 and twice 2")
        super().__post_init__()

    @nn.compact
    def __call__(self, x, train=False, all_maps=None):
        """Gives `{"shrink"}`, and `"threshold"` and `"binary"` when `all_maps` (default: `train`).

        Each map is `[B, 4h, 4w]`, float32, in [0, 1].
        """
        shrink = MapBranch(self.kernels[0], self.dtype, name="binarize")(x, train)
        if not (train if all_maps is None else all_maps):
            return {"shrink": shrink}
        threshold = MapBranch(self.kernels[0], self.dtype, name="thresh")(x, train)
        binary = binarise(shrink, threshold, k=self.k)
        return {"shrink": shrink, "threshold": threshold, "binary": binary}
