"""Batch norm fused with the activation after it, with a gradient that saves memory traffic.

The backward pass keeps only the input of the batch norm. It recomputes the normalised map and the
sign for the activation inside the sums and products that need them: on both CPUs and GPUs
elementwise arithmetic is cheaper than writing and reading a whole map.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ppocr_jax.kernels.exact import centre, sum_pairs
from ppocr_jax.runtime.platform import platform

EPSILON = 1e-5  # PaddlePaddle's default
PIXELS = (0, 1, 2)  # the axes that batch norm averages over
WIDE = 64  # channels from which on our way to split a sum over pixels moves fewer bytes than XLA's

Activation = Callable[[Array], Array]  # elementwise


def normalise_stored(
    x: Float[Array, "B H W C"],
    mean: Float[Array, "C"],
    var: Float[Array, "C"],
    scale: Float[Array, "C"],
    bias: Float[Array, "C"],
    act: Activation,
    dtype: Any,
) -> Float[Array, "B H W C"]:
    """Batch norm with the given statistics, then `act`.

    Args:
        x: of any float dtype; it is normalised in float32 or wider.
        mean, var, scale, bias: per channel.
        act: elementwise function.
        dtype: dtype to which the normalised map is cast before `act`.
    """
    return act(normalised(x, mean, jax.lax.rsqrt(var + EPSILON) * scale, bias).astype(dtype))


def normalised(
    x: Float[Array, "B H W C"],
    mean: Float[Array, "C"],
    slope: Float[Array, "C"],
    bias: Float[Array, "C"],
) -> Float[Array, "B H W C"]:
    """`(x - mean) * slope + bias`, in float32 or wider."""
    return (wide(x) - row(mean)) * row(slope) + row(bias)


def row(values: Float[Array, "C"]) -> Float[Array, "1 1 1 C"]:
    """Reshapes values per channel so that they broadcast explicitly over a map."""
    return values.reshape(1, 1, 1, -1)


def wide(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Casts to float32; float64 stays float64."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def normalise_batch(
    x: Float[Array, "B H W C"],
    scale: Float[Array, "C"],
    bias: Float[Array, "C"],
    act: Activation,
    dtype: Any,
    shift: Float[Array, "C"] | None = None,
) -> tuple[Float[Array, "B H W C"], Float[Array, "C"], Float[Array, "C"]]:
    """Batch norm with the statistics of the batch itself, then `act`.

    Args:
        x: of any float dtype.
        scale, bias: per channel.
        act: elementwise function.
        dtype: dtype of the map that is returned.
        shift: an estimate of the mean, such as the stored one; used only where `reads_once`.

    Returns:
        `(map, mean, biased variance)`. Only the map passes gradients, to `x`, `scale` and `bias`.
    """
    shift = shift if shift is not None and reads_once() else None
    return _normalise(x, scale, bias, shift, act, dtype)


def reads_once() -> bool:
    """Whether mean and variance are computed in one pass over the map.

    True on GPUs, where batch norm is limited by memory bandwidth.
    """
    return platform() == "gpu"


def statistics(
    x: Float[Array, "B H W C"], shift: Float[Array, "C"] | None = None
) -> tuple[Float[Array, "C"], Float[Array, "C"]]:
    """Mean and biased variance of each channel.

    Args:
        x: float32 or wider.
        shift: if given, both come from sums over `x - shift` in one pass. The closer it is to the
            mean, the more accurate is the variance. None takes two passes.
    """
    if shift is None:
        mean = x.mean(PIXELS)
        # Two passes, because E[x^2] - E[x]^2 cancels badly when the mean is large.
        return mean, jnp.square(x - row(mean)).mean(PIXELS)
    # One pass. If the shift is far from the mean, sum and sum of squares almost cancel, hence the
    # pairs. Rounding can still make the variance negative, hence the maximum.
    off = x - row(shift)
    total, squares = sum_pairs(sum_columns(off, jnp.square(off)), PIXELS[:-1])
    count = x.size // x.shape[-1]
    mean, spread = centre(total, squares, count)
    return shift + mean, jnp.maximum(spread / count, 0)


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
        """Gradient with respect to the input of `act`, and the centred map."""
        _, pull = jax.vjp(lambda z: act(z.astype(dtype)), norm(x, mean, slope * scale, bias))
        return pull(grads[0])[0], wide(x) - row(mean)

    # The gradient of `x` needs the sums for `bias` and `scale` first. On GPUs those are two passes
    # that each recompute `through`; the barrier stops XLA from storing its maps in between.
    if platform() == "gpu":
        grad_bias, grad_scale = sums_through(x, through)
        x, grad_bias, grad_scale = jax.lax.optimization_barrier((x, grad_bias, grad_scale))
        grad, centred = through(x, normalised)
    else:
        grad, centred = through(x, normalised)
        grad_bias, grad_scale = sums(grad, grad * centred)
    grad_scale = grad_scale * slope  # the sums were over the centred map, not yet divided by std
    grad_x = input_gradient(grad, centred, slope, scale, grad_scale, grad_bias)
    return grad_x.astype(x.dtype), grad_scale, grad_bias, None


def sums_through(
    x: Float[Array, "B H W C"], through: Callable[..., tuple[Array, Array]]
) -> tuple[Float[Array, "C"], ...]:
    """Sums over pixels of the gradient `through` a batch norm, and of it times the centred map.

    The normalisation is deliberately written differently here: if two passes contain the same
    expression, XLA computes it once, stores the map and reads it twice.

    Args:
        x: input of the batch norm.
        through: `(x, norm) -> (gradient, centred map)`; `norm` is a function like `normalised`.
    """
    grad, centred = through(
        x, lambda x, mean, slope, bias: wide(x) * row(slope) + row(bias - mean * slope)
    )
    return sums(grad, grad * centred)


def remade(saved: tuple[Array, ...]) -> tuple[Array, ...]:
    """Puts an optimisation barrier around the values that the forward pass saved, the map first.

    Without it XLA would notice that the backward pass recomputes the forward pass's maps, and keep
    those maps instead. On GPUs only the map gets a barrier: each small vector behind one would
    become a kernel of its own.
    """
    if platform() == "gpu":
        return jax.lax.optimization_barrier(saved[0]), *saved[1:]
    return jax.lax.optimization_barrier(saved)


def sums(*maps: Float[Array, "B H W C"]) -> tuple[Float[Array, "C"], ...]:
    """Sums each map over its pixels; on GPUs all maps in a single pass."""
    if platform() != "gpu":
        return tuple(x.sum(PIXELS) for x in maps)
    if maps[0].shape[-1] < WIDE:
        return _sum_together(maps, PIXELS)
    return _sum_together(sum_columns(*maps), PIXELS[:-1])


def sum_columns(*maps: Float[Array, "B H W C"]) -> tuple[Float[Array, "B W C"], ...]:
    """Sums each map over its height, all maps in a single pass.

    The first half of a sum over pixels on GPUs. One sum over all pixels would be split by XLA,
    which pads the maps to do so; and on CPUs, where tests run this form, it would be less accurate.
    The batch is left for the second half, so that devices that share it exchange little.
    """
    return _sum_together(maps, (1,))


def _sum_together(maps, axes):
    zeros = tuple(jnp.zeros((), x.dtype) for x in maps)
    return jax.lax.reduce(maps, zeros, lambda a, b: tuple(map(jnp.add, a, b)), axes)


def input_gradient(
    grad: Float[Array, "B H W C"],
    centred: Float[Array, "B H W C"],
    slope: Float[Array, "C"],
    scale: Float[Array, "C"],
    grad_scale: Float[Array, "C"],
    grad_bias: Float[Array, "C"],
) -> Float[Array, "B H W C"]:
    """Gradient with respect to the input of a batch norm that used the batch's statistics.

    Args:
        grad: gradient with respect to the normalised map, float32 or wider.
        centred: the input minus the batch's mean.
        slope: 1 / sqrt(variance + epsilon).
        scale: the batch norm's parameter.
        grad_scale, grad_bias: gradients of both parameters.

    Source: the backward pass in arXiv:1502.03167, section 3, with the two sums reused.
    """
    count = grad.size // grad.shape[-1]
    spread = centred * row(slope * grad_scale / count)
    return row(slope * scale) * (grad - row(grad_bias / count) - spread)


_normalise.defvjp(_forward, _backward)
