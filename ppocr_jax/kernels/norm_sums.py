"""Batch norm, activation and a product to a few channels, fused so that a map is only read.

On GPUs these layers are limited by memory bandwidth. A wide map that is reduced to a few channels
right away need not be written at all: the normalised map exists only inside the kernels that sum
it, in the forward and in the backward pass.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ppocr_jax.kernels.batch_norm import (
    EPSILON,
    PIXELS,
    Activation,
    input_gradient,
    normalise_stored,
    normalised,
    remade,
    row,
    statistics,
    sums_through,
    wide,
)


def normalise_and_sum(
    x: Float[Array, "B H W C"],
    scale: Float[Array, "C"],
    bias: Float[Array, "C"],
    kernel: Float[Array, "C N"],
    shift: Float[Array, "C"] | None,
    act: Activation,
    dtype: Any,
) -> tuple[Float[Array, "B H W N"], Float[Array, "C"], Float[Array, "C"]]:
    """`act(norm(x)) @ kernel` with the statistics of the batch itself.

    Meant for a small N, since the normalised map is recomputed for each output channel.

    Args:
        x: of any float dtype.
        scale, bias: parameters of the batch norm.
        kernel: of dtype `dtype`.
        shift: see `batch_norm.statistics`.
        act: elementwise function.
        dtype: dtype of the input of `act`, and of the map that is returned.

    Returns:
        `(map, mean, biased variance)`. Only the map passes gradients.
    """
    return _normalise_and_sum(x, scale, bias, kernel, shift, act, dtype)


def stored_and_sum(
    x: Float[Array, "B H W C"],
    mean: Float[Array, "C"],
    var: Float[Array, "C"],
    scale: Float[Array, "C"],
    bias: Float[Array, "C"],
    kernel: Float[Array, "C N"],
    act: Activation,
    dtype: Any,
) -> Float[Array, "B H W N"]:
    """`act(norm(x)) @ kernel` with the given statistics; see `normalise_and_sum`."""
    return _sums(normalise_stored(x, mean, var, scale, bias, act, dtype), kernel)


def _sums(y: Float[Array, "B H W C"], kernel: Float[Array, "C N"]) -> Float[Array, "B H W N"]:
    # Written as a sum because XLA fuses sums with the batch norm before them, but not products.
    factors = wide(kernel).T.reshape(1, 1, 1, *kernel.shape[::-1])
    return (wide(y)[..., None, :] * factors).sum(-1).astype(y.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5, 6))
def _normalise_and_sum(x, scale, bias, kernel, shift, act, dtype):
    mean, var = statistics(wide(x), shift)
    return stored_and_sum(x, mean, var, scale, bias, kernel, act, dtype), mean, var


def _forward(x, scale, bias, kernel, shift, act, dtype):
    out, mean, var = _normalise_and_sum(x, scale, bias, kernel, shift, act, dtype)
    return (out, mean, var), (x, mean, jax.lax.rsqrt(var + EPSILON), scale, bias, kernel)


def _backward(act, dtype, saved, grads):
    x, mean, slope, scale, bias, kernel = remade(saved)
    grad_out = grads[0]

    of_each = [wide(grad_out)[..., n : n + 1] for n in range(kernel.shape[1])]

    def through(x, norm):
        """Gradient with respect to the input of `act`, and the centred map."""
        grad_y: Any = sum(grad * row(wide(kernel)[:, n]) for n, grad in enumerate(of_each))
        _, pull = jax.vjp(lambda z: act(z.astype(dtype)), norm(x, mean, slope * scale, bias))
        return pull(grad_y.astype(dtype))[0], wide(x) - row(mean)

    # Three passes: sums for scale and bias, then for the kernel, then the gradient of `x`. The
    # barriers make each recompute the map; otherwise XLA would store it after the first.
    grad_bias, grad_scale = sums_through(x, through)
    x, grad_bias, grad_scale = jax.lax.optimization_barrier((x, grad_bias, grad_scale * slope))
    y = act(normalised(x, mean, slope * scale, bias).astype(dtype))
    columns = [(wide(y) * one).sum(PIXELS) for one in of_each]
    x, columns = jax.lax.optimization_barrier((x, columns))
    grad, centred = through(x, normalised)
    grad_x = input_gradient(grad, centred, slope, scale, grad_scale, grad_bias)
    grad_kernel = jnp.stack(columns, 1).astype(kernel.dtype)
    return grad_x.astype(x.dtype), grad_scale, grad_bias, grad_kernel, None


_normalise_and_sum.defvjp(_forward, _backward)
