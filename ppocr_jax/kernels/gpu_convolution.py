"""Convolutions in the forms of a GPU: few library calls, since each distinct one is tuned alone.

A library call is tried out in every algorithm that there is while a program is compiled, and the
maps that it reads and writes lie in memory. Products and sums need no such trials, and a sum can
be one kernel with what stands around it. Shapes and padding are those of `convolution`.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from ppocr_jax.kernels.cpu_convolution import library_convolve


def product(x, kernel):
    """A 1x1 convolution as a matrix product over all pixels; so are its gradients.

    Where a map is one pixel, as in gates, it is a plain sum: less work than a call.
    """
    if x.shape[1] == x.shape[2] == 1:
        return (_wide(x)[..., None] * _wide(kernel)[None]).sum(3).astype(x.dtype)
    return lax.dot_general(x, kernel[0, 0], (((3,), (0,)), ((), ())))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def shifted_sums(x, kernel, stride):
    """A depthwise convolution as one sum over its taps, added up in float32 at least.

    The input gradient is such a sum as well. The filter gradient stays with the library: as sums
    over all pixels, one for each tap, it would read both maps several times.

    Args:
        x: `[B, H, W, C]`.
        kernel: `[k, k, 1, C]`.
        stride: 1 or 2.
    """
    pad = kernel.shape[0] // 2
    padded = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    sides = [-(-side // stride) for side in x.shape[1:3]]
    return _sum_of_taps(padded, kernel, sides, stride)


def _sum_of_taps(padded, kernel, sides, stride):
    """`[B, *sides, C]` from a map with its padding."""
    tall, wide = (stride * (side - 1) + 1 for side in sides)
    size = kernel.shape[0]
    total = 0.0
    for i in range(size):
        for j in range(size):
            part = padded[:, i : i + tall : stride, j : j + wide : stride]
            total += _wide(part) * _wide(kernel[i, j]).reshape(1, 1, 1, -1)
    return total.astype(padded.dtype)


def _wide(x):
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _forward(x, kernel, stride):
    return shifted_sums(x, kernel, stride), (x, kernel)


def _backward(stride, saved, grad):
    x, kernel = saved
    low = kernel.shape[0] // 2
    # Where the stride is 2, zeros between the pixels. The compiler stores none of them: it makes
    # the padded map inside the sum.
    edges = [
        (low, side - 1 + low - stride * (short - 1), stride - 1)
        for side, short in zip(x.shape[1:3], grad.shape[1:3], strict=True)
    ]
    apart = lax.pad(grad, jnp.zeros((), grad.dtype), ((0, 0, 0), *edges, (0, 0, 0)))
    grad_x = _sum_of_taps(apart, kernel[::-1, ::-1], x.shape[1:3], 1)
    pull = jax.linear_transpose(lambda k: library_convolve(x, k, stride, x.shape[-1]), kernel)
    return grad_x, pull(grad)[0]


shifted_sums.defvjp(_forward, _backward)
