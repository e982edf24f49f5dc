"""Head: fused map at stride 4 -> maps at full size, by differentiable binarization."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ppocr_jax.kernels.convolution import convolve, in_place, quarters
from ppocr_jax.models.area import blank_outside
from ppocr_jax.models.layers import BatchNorm, Conv, TransposedConv, moves_least
from ppocr_jax.models.operations import binarise, draw_map, relu


class MapBranch(nn.Module):
    """One map: k x k convolution, two doublings, sigmoid. `[B, h, w, C]` to `[B, 4h, 4w]`.

    The last addition and the sigmoid run in float32 whatever `dtype` is.
    """

    size: int = 3
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train=False, begun=None):
        """The map; `begun` is what the first convolution gives, where that is made already."""
        width = x.shape[-1] // 4
        bound = width**-0.5  # for both biases, the single one of the last layer too
        conv1 = Conv(width, self.size, dtype=self.dtype, name="conv1")
        norm1 = BatchNorm(relu, 1e-4, self.dtype, name="conv_bn1")
        conv2 = TransposedConv(width, bound, dtype=self.dtype, name="conv2")
        norm2 = BatchNorm(relu, 1e-4, self.dtype, name="conv_bn2")
        conv3 = TransposedConv(1, bound, dtype=self.dtype, name="conv3")
        x = norm1(conv1(x) if begun is None else begun, train)
        if not moves_least(self, x):
            return draw_map(conv3(norm2(conv2(x), train)))
        (kernel, bias), (last, last_bias) = conv2.weights(), conv3.weights()
        # Else the product's gradient would read what this map is made from, kept beside it.
        x = quarters(jax.lax.optimization_barrier(x), kernel)
        x = norm2(x, train, bias, last.transpose(2, 0, 1, 3).reshape(width, 4))
        return draw_map(in_place(x)[..., None] + last_bias.reshape(1, 1, 1, 1))

    def first_kernel(self):
        """Of the first convolution of a branch that has its weights, in the type of the maps."""
        return self.get_variable("params", "conv1")["kernel"].astype(self.dtype)


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
        shrink = MapBranch(self.kernels[0], self.dtype, name="binarize")
        if not (train if all_maps is None else all_maps):
            return {"shrink": shrink(x, train)}
        threshold = MapBranch(self.kernels[0], self.dtype, name="thresh")
        begun = (None, None)
        if moves_least(self, x):  # the map and its gradient, once
            kernels = [branch.first_kernel() for branch in (shrink, threshold)]
            both = convolve(blank_outside(x), jnp.concatenate(kernels, -1))
            begun = jnp.split(both, 2, axis=-1)
        shrink, threshold = shrink(x, train, begun[0]), threshold(x, train, begun[1])
        binary = binarise(shrink, threshold, k=self.k)
        return {"shrink": shrink, "threshold": threshold, "binary": binary}
