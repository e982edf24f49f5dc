"""Batch norm, its activation and a narrow product behind them as one reader of a map.

Where passes over memory are what takes the time, a wide map need not be written only to be reduced
to a few channels: the normalised map exists inside the kernels that sum it, forward and backward.
"""

import functools

import jax
import jax.numpy as jnp

from ppocr_jax.kernels.batch_norm import (
    EPSILON,
    PIXELS,
    input_gradient,
    normalise_stored,
    normalised,
    remade,
    row,
    statistics,
    sums_through,
    wide,
)


def normalise_and_sum(x, scale, bias, kernel, shift, act, dtype):
    """`(act(norm(x)) @ kernel, mean, variance)` with the statistics of the batch itself.

    Gradients flow through the first result alone. Meant for few results a pixel: all of their
    terms are made anew for each.

    Args:
        x: `[B, H, W, C]`.
        scale, bias: `[C]`.
        kernel: `[C, N]`, of `dtype`.
        shift: `[C]` or None, see `batch_norm.statistics`.
        act: elementwise function.
        dtype: of what `act` is given and of the first result, `[B, H, W, N]`.
    """
    return _normalise_and_sum(x, scale, bias, kernel, shift, act, dtype)


def stored_and_sum(x, mean, var, scale, bias, kernel, act, dtype):
    """`act(norm(x)) @ kernel` with given statistics."""
    return _sums(normalise_stored(x, mean, var, scale, bias, act, dtype), kernel)


def _sums(y, kernel):
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
        """The gradient of what `act` is given, and the map without its mean."""
        grad_y = sum(grad * row(wide(kernel)[:, n]) for n, grad in enumerate(of_each))
        _, pull = jax.vjp(lambda z: act(z.astype(dtype)), norm(x, mean, slope * scale, bias))
        return pull(grad_y.astype(dtype))[0], wide(x) - row(mean)

    # All of it again in each pass: kept, it would be written and read as whole maps.
    grad_bias, grad_scale = sums_through(x, through)
    x, grad_bias, grad_scale = jax.lax.optimization_barrier((x, grad_bias, grad_scale * slope))
    y = act(normalised(x, mean, slope * scale, bias).astype(dtype))
    grad_kernel = [(wide(y) * one).sum(PIXELS) for one in of_each]
    x, grad_kernel = jax.lax.optimization_barrier((x, grad_kernel))
    grad, centred = through(x, normalised)
    grad_x = input_gradient(grad, centred, slope, scale, grad_scale, grad_bias)
    grad_kernel = jnp.stack(grad_kernel, 1).astype(kernel.dtype)
    return grad_x.astype(x.dtype), grad_scale, grad_bias, grad_kernel, None


_normalise_and_sum.defvjp(_forward, _backward)
