"""Batch norm with the activation behind it, and its gradient in the form that moves least memory.

The backward pass keeps the input of the norm alone: the normalised map and the activation's sign
are made again from it, inside the sums and products that need them.
"""

import functools

import jax
import jax.numpy as jnp

EPSILON = 1e-5  # of PaddlePaddle
PIXELS = (0, 1, 2)


def normalise_stored(x, mean, var, scale, bias, act, dtype):
    """`act(norm(x))` with given statistics.

    Args:
        x: `[B, H, W, C]`; the arithmetic before `act` is float32 at least.
        mean, var, scale, bias: `[C]`.
        act: elementwise function.
        dtype: of what `act` is given.
    """
    return act(_normalised(x, mean, jax.lax.rsqrt(var + EPSILON) * scale, bias).astype(dtype))


def _normalised(x, mean, slope, bias):
    return (_wide(x) - _row(mean)) * _row(slope) + _row(bias)


def _row(values):
    """`[C]` as `[1, 1, 1, C]`."""
    return values.reshape(1, 1, 1, -1)


def _wide(x):
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def normalise_batch(x, scale, bias, act, dtype):
    """`(act(norm(x)), mean, variance)` with the statistics of the batch itself.

    Gradients flow through the first result alone, into `x`, `scale` and `bias`.

    Args:
        x: `[B, H, W, C]`.
        scale, bias: `[C]`.
        act: elementwise function.
        dtype: of the first result.
    """
    wide = _wide(x)
    mean = wide.mean(PIXELS)
    var = jnp.square(wide - _row(mean)).mean(PIXELS)  # E[x^2] - E[x]^2 loses digits at a large mean
    return normalise_stored(x, mean, var, scale, bias, act, dtype), mean, var


def _forward(x, scale, bias, act, dtype):
    y, mean, var = normalise_batch(x, scale, bias, act, dtype)
    return (y, mean, var), (x, mean, jax.lax.rsqrt(var + EPSILON), scale, bias)


def _backward(act, dtype, saved, grads):
    # Without the barrier the compiler would keep the forward pass's maps after all.
    x, mean, slope, scale, bias = jax.lax.optimization_barrier(saved)
    _, pull = jax.vjp(lambda z: act(z.astype(dtype)), _normalised(x, mean, slope * scale, bias))
    grad = pull(grads[0])[0]
    centred = _wide(x) - _row(mean)
    count = x.size // x.shape[-1]
    grad_bias = grad.sum(PIXELS)
    grad_scale = (grad * centred).sum(PIXELS) * slope
    spread = centred * _row(slope * grad_scale / count)
    grad_x = _row(slope * scale) * (grad - _row(grad_bias / count) - spread)
    return grad_x.astype(x.dtype), grad_scale, grad_bias


normalise_batch.defvjp(_forward, _backward)
