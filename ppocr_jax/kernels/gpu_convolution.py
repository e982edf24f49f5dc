"""Convolutions for GPUs that avoid calls to cuDNN.

While XLA compiles a program, it tries out every algorithm that cuDNN has for each distinct
convolution, which takes long; and a cuDNN call reads and writes whole maps in memory. Matrix
products and sums need no such trials, and XLA can fuse a sum with the operations around it. Shapes
and padding are those of `convolution`.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ppocr_jax.kernels.cpu_convolution import library_convolve


def product(x: Float[Array, "B H W C"], kernel: Float[Array, "1 1 C O"]) -> Float[Array, "B H W O"]:
    """A 1x1 convolution as a matrix product over all pixels; its gradients are products as well.

    On a map of a single pixel, as in a squeeze-excite gate, it is a plain sum, which is cheaper
    than a library call.
    """
    if x.shape[1] == x.shape[2] == 1:
        return (_wide(x)[..., None] * _wide(kernel)[None]).sum(3).astype(x.dtype)
    return lax.dot_general(x, kernel[0, 0], (((3,), (0,)), ((), ())))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def shifted_sums(
    x: Float[Array, "B H W C"], kernel: Float[Array, "k k 1 C"], stride: int
) -> Float[Array, "B h w C"]:
    """A depthwise convolution as one sum over its filter taps, in float32 or wider.

    The input gradient is computed the same way. The filter gradient is left to cuDNN: written as
    one sum over all pixels per tap, it would read both maps several times.

    Args:
        x: input map.
        kernel: one filter per channel.
        stride: 1 or 2.
    """
    pad = kernel.shape[0] // 2
    padded = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    sides = [-(-side // stride) for side in x.shape[1:3]]
    return _sum_of_taps(padded, kernel, sides, stride)


def _sum_of_taps(
    padded: Array, kernel: Float[Array, "k k 1 C"], sides: Sequence[int], stride: int
) -> Array:
    """The sum over all taps, `[B, *sides, C]`, for a map that is already padded."""
    tall, wide = (stride * (side - 1) + 1 for side in sides)
    size = kernel.shape[0]
    total: Any = 0.0
    for i in range(size):
        for j in range(size):
            part = padded[:, i : i + tall : stride, j : j + wide : stride]
            total += _wide(part) * _wide(kernel[i, j]).reshape(1, 1, 1, -1)
    return total.astype(padded.dtype)


def _wide(x: Array) -> Array:
    """Casts to float32; float64 stays float64."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _forward(x, kernel, stride):
    return shifted_sums(x, kernel, stride), (x, kernel)


def _backward(stride, saved, grad):
    x, kernel = saved
    low = kernel.shape[0] // 2
    # With stride 2, zeros go between the pixels of the gradient. XLA never stores them: it fuses
    # the padding into the sum.
    edges = [
        (low, side - 1 + low - stride * (short - 1), stride - 1)
        for side, short in zip(x.shape[1:3], grad.shape[1:3], strict=True)
    ]
    apart = lax.pad(grad, jnp.zeros((), grad.dtype), ((0, 0, 0), *edges, (0, 0, 0)))
    grad_x = _sum_of_taps(apart, kernel[::-1, ::-1], x.shape[1:3], 1)
    pull = jax.linear_transpose(lambda k: library_convolve(x, k, stride, x.shape[-1]), kernel)
    return grad_x, pull(grad)[0]


shifted_sums.defvjp(_forward, _backward)
