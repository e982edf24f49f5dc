"""Batch norm with the activation behind it, and its gradient in the form that moves least memory.

The backward pass keeps the input of the norm alone: the normalised map and the activation's sign
are made again from it, inside the sums and products that need them.
"""

import functools

import jax
import jax.numpy as jnp

from ppocr_jax.runtime.platform import platform

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
    return act(normalised(x, mean, jax.lax.rsqrt(var + EPSILON) * scale, bias).astype(dtype))


def normalised(x, mean, slope, bias):
    """`(x - mean) * slope + bias`, in float32 at least."""
    return (wide(x) - row(mean)) * row(slope) + row(bias)


def row(values):
    """`[C]` as `[1, 1, 1, C]`."""
    return values.reshape(1, 1, 1, -1)


def wide(x):
    """In float32 at least."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def normalise_batch(x, scale, bias, act, dtype, shift=None):
    """`(act(norm(x)), mean, variance)` with the statistics of the batch itself.

    Gradients flow through the first result alone, into `x`, `scale` and `bias`.

    Args:
        x: `[B, H, W, C]`.
        scale, bias: `[C]`.
        act: elementwise function.
        dtype: of the first result.
        shift: `[C]`, a guess of the mean that is known before; used where `reads_once`.
    """
    shift = shift if shift is not None and reads_once() else None
    return _normalise(x, scale, bias, shift, act, dtype)


def reads_once():
    """Whether both statistics come from one pass over a map: where a pass costs most, on GPUs."""
    return platform() == "gpu"


def statistics(x, shift=None):
    """`(mean, biased variance)` of the channels, `[C]` each.

    Args:
        x: `[B, H, W, C]`, of float32 at least.
        shift: `[C]`; then both are made of sums in one pass, of differences to it: the nearer it
            is to the mean, the more digits the variance has. None for two passes.
    """
    if shift is None:
        mean = x.mean(PIXELS)
        # E[x^2] - E[x]^2 loses digits at a large mean.
        return mean, jnp.square(x - row(mean)).mean(PIXELS)
    off = x - row(shift)
    count = x.size // x.shape[-1]
    mean, square = (total / count for total in sums(off, jnp.square(off)))
    return shift + mean, jnp.maximum(square - jnp.square(mean), 0)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _normalise(x, scale, bias, shift, act, dtype):
    mean, var = statistics(wide(x), shift)
    return normalise_stored(x, mean, var, scale, bias, act, dtype), mean, var


def _forward(x, scale, bias, shift, act, dtype):
    y, mean, var = _normalise(x, scale, bias, shift, act, dtype)
    return (y, mean, var), (x, mean, jax.lax.rsqrt(var + EPSILON), scale, bias)


def _backward(act, dtype, saved, grads):
    x, mean, slope, scale, bias = remade(saved)

    def through(x, norm):
        """The gradient of what `act` is given, and the map without its mean."""
        _, pull = jax.vjp(lambda z: act(z.astype(dtype)), norm(x, mean, slope * scale, bias))
        return pull(grads[0])[0], wide(x) - row(mean)

    if platform() == "gpu":  # two passes, neither of which keeps a map for the other
        grad_bias, grad_scale = sums_through(x, through)
        x, grad_bias, grad_scale = jax.lax.optimization_barrier((x, grad_bias, grad_scale))
        grad, centred = through(x, normalised)
    else:
        grad, centred = through(x, normalised)
        grad_bias, grad_scale = sums(grad, grad * centred)
    grad_scale = grad_scale * slope
    grad_x = input_gradient(grad, centred, slope, scale, grad_scale, grad_bias)
    return grad_x.astype(x.dtype), grad_scale, grad_bias, None


def sums_through(x, through):
    """Sums of the gradient `through` a norm, and of its product with the centred map.

    In another order of the arithmetic than everywhere else: what two passes compute alike the
    compiler writes once and reads twice, however small it is.
    """
    grad, centred = through(
        x, lambda x, mean, slope, bias: wide(x) * row(slope) + row(bias - mean * slope)
    )
    return sums(grad, grad * centred)


def remade(saved):
    """What the backward pass starts from, the map first.

    Without a barrier the compiler would keep the forward pass's maps after all. On GPUs it stands
    before the map alone: each small vector behind it would be a kernel of its own.
    """
    if platform() == "gpu":
        return jax.lax.optimization_barrier(saved[0]), *saved[1:]
    return jax.lax.optimization_barrier(saved)


def sums(*maps):
    """Of each map `[B, H, W, C]` over its pixels, `[C]`; on GPUs in one pass for all."""
    if platform() != "gpu":
        return tuple(x.sum(PIXELS) for x in maps)
    zeros = tuple(jnp.zeros((), x.dtype) for x in maps)
    return jax.lax.reduce(maps, zeros, lambda a, b: tuple(map(jnp.add, a, b)), PIXELS)


def input_gradient(grad, centred, slope, scale, grad_scale, grad_bias):
    """Gradient of a norm's input, in the type of `grad`.

    Args:
        grad: of its result, `[B, H, W, C]`, float32 at least.
        centred: its input without the batch's mean.
        slope: 1 / deviation of the batch, `[C]`.
        scale: `[C]`.
        grad_scale, grad_bias: gradients of both, `[C]`.
    """
    count = grad.size // grad.shape[-1]
    spread = centred * row(slope * grad_scale / count)
    return row(slope * scale) * (grad - row(grad_bias / count) - spread)


_normalise.defvjp(_forward, _backward)
