"""DB head: fused map at stride 4 -> maps at full resolution, by differentiable binarization."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ppocr_jax.kernels.convolution import convolve, in_place, quarters
from ppocr_jax.models.area import blank_outside
from ppocr_jax.models.layers import BatchNorm, Conv, TransposedConv, uses_gpu_form
from ppocr_jax.models.operations import binarise, relu, sigmoid_map


class MapBranch(nn.Module):
    """Predicts one map: a convolution, two transposed convolutions, a sigmoid.

    The sigmoid runs in float32 whatever `dtype` is.

    Attributes:
        size: kernel size of the first convolution.
    """

    size: int = 3
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B H W C"],
        train: bool = False,
        begun: Float[Array, "B H W C//4"] | None = None,
    ) -> Float[Array, "B 4*H 4*W"]:
        """The map; `begun` is the result of the first convolution if it is already known."""
        width = x.shape[-1] // 4
        bound = width**-0.5  # of new biases in both transposed convolutions, as in PaddleOCR
        conv1 = Conv(width, self.size, dtype=self.dtype, name="conv1")
        norm1 = BatchNorm(relu, 1e-4, self.dtype, name="conv_bn1")
        conv2 = TransposedConv(width, bound, dtype=self.dtype, name="conv2")
        norm2 = BatchNorm(relu, 1e-4, self.dtype, name="conv_bn2")
        conv3 = TransposedConv(1, bound, dtype=self.dtype, name="conv3")
        x = norm1(conv1(x) if begun is None else begun, train)
        if not uses_gpu_form(self, x):
            return sigmoid_map(conv3(norm2(conv2(x), train)))
        # The form that saves memory traffic on GPUs: the widest map of the branch, behind conv2,
        # is never transposed, and conv3 is fused into the batch norm that reads it.
        (kernel, bias), (last, last_bias) = conv2.weights(), conv3.weights()
        # Without the barrier the product's gradient would keep and read what `x` is made from, as
        # well as `x`.
        x = quarters(jax.lax.optimization_barrier(x), kernel)
        x = norm2(x, train, bias, last.transpose(2, 0, 1, 3).reshape(width, 4))
        return sigmoid_map(in_place(x)[..., None] + last_bias.reshape(1, 1, 1, 1))

    def first_kernel(self) -> Float[Array, "k k C C//4"]:
        """The initialised branch's first kernel, cast to `dtype`."""
        return self.get_variable("params", "conv1")["kernel"].astype(self.dtype)


class DBHead(nn.Module):
    """Predicts the shrink, threshold and binary maps (DB, arXiv:1911.08947).

    Attributes:
        kernels: kernel sizes of a branch's three layers; the transposed convolutions always have 2.
        k: steepness of the binary map 1 / (1 + exp(-k (P - T))).
    """

    kernels: tuple[int, int, int] = (3, 2, 2)
    k: float = 50.0
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        odd = self.kernels[:1] and self.kernels[0] % 2 and 1 <= self.kernels[0] <= 31
        if len(self.kernels) != 3 or tuple(self.kernels[1:]) != (2, 2) or not odd:
            raise ValueError(f"kernels={self.kernels}: should be (k, 2, 2) with an odd k up to 31")
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: Float[Array, "B H W C"], train: bool = False, all_maps: bool | None = None
    ) -> dict[str, Float[Array, "B 4*H 4*W"]]:
        """Predicts the maps.

        Args:
            x: fused map.
            train: see `layers.BatchNorm`.
            all_maps: whether to predict the threshold and binary maps too; default: `train`.
                Inference needs the shrink map alone.

        Returns:
            `{"shrink"}` or `{"shrink", "threshold", "binary"}`, float32, in [0, 1].
        """
        # "binarize" and "thresh" are PaddleOCR's names for the branches.
        shrink = MapBranch(self.kernels[0], self.dtype, name="binarize")
        if not (train if all_maps is None else all_maps):
            return {"shrink": shrink(x, train)}
        threshold = MapBranch(self.kernels[0], self.dtype, name="thresh")
        begun: Any = (None, None)
        if uses_gpu_form(self, x):  # one convolution for both branches reads `x` once, not twice
            kernels = [branch.first_kernel() for branch in (shrink, threshold)]
            both = convolve(blank_outside(x), jnp.concatenate(kernels, -1))
            begun = jnp.split(both, 2, axis=-1)
        shrink_map, threshold_map = shrink(x, train, begun[0]), threshold(x, train, begun[1])
        binary_map = binarise(shrink_map, threshold_map, k=self.k)
        return {"shrink": shrink_map, "threshold": threshold_map, "binary": binary_map}
