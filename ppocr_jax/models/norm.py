"""Batch norm with the activation behind it, and its gradient in the form that moves least memory.

The backward pass keeps the input of the norm alone: the normalised map and the activation's sign
are made again from it, inside the sums and products that need them.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

EPSILON = 1e-5
MOMENTUM = 0.9  # the share of the old statistics that stays
PIXELS = (0, 1, 2)


def identity(x):
    return x


class BatchNorm(nn.Module):
    """Batch norm over batch, height and width, then `act`: `[B, H, W, C]` to the same.

    In train mode the batch's own mean and biased variance normalise, and the stored ones move a
    tenth of the way towards them. Inside a sharded `jit` the batch is the global one. Statistics
    and parameters are float32 whatever `dtype` is, and so is the arithmetic before `act`.
    Source: arXiv:1502.03167, constants of PaddlePaddle.

    Attributes:
        act: elementwise; part of this module so that its input need not be kept.
        bias_init: constant that new biases start from.
        dtype: of the result, and of what `act` is given.
    """

    act: Callable[..., Any] = identity
    bias_init: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train=False):
        shape = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.constant(self.bias_init), shape)
        stored_mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        stored_var = self.variable("batch_stats", "var", jnp.ones, shape)
        if not train:
            return _apply(x, stored_mean.value, stored_var.value, scale, bias, self.act, self.dtype)
        y, mean, var = normalise_batch(x, scale, bias, self.act, self.dtype)
        if not self.is_initializing():
            stored_mean.value = MOMENTUM * stored_mean.value + (1 - MOMENTUM) * mean
            stored_var.value = MOMENTUM * stored_var.value + (1 - MOMENTUM) * var
        return y


def _apply(x, mean, var, scale, bias, act, dtype):
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
    return _apply(x, mean, var, scale, bias, act, dtype), mean, var


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
