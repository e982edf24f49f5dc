"""Parameter initialisers that give the same values on every platform.

They draw from NumPy's generator, seeded with the bits of a JAX key, and return NumPy arrays:
initialising a network this way compiles nothing. While they are traced the bits are not known yet,
so they become callbacks. Distributions are those of the PaddleOCR layers that they are used in.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

Initialiser = Callable[..., Any]  # (key, shape, dtype) -> array of this shape


def _draw(
    key: PRNGKeyArray,
    shape: Sequence[int],
    dtype: Any,
    sample: Callable[[np.random.Generator], np.ndarray],
) -> Any:
    """`sample(rng)` with a generator seeded by the key, cast to `dtype`."""

    def draw(words):
        return sample(np.random.default_rng(np.asarray(words).tolist())).astype(dtype)

    # Under a trace the key has no value yet: then NumPy is called when the program runs.
    words = jax.random.key_data(key)
    if isinstance(words, jax.core.Tracer):
        return jax.pure_callback(draw, jax.ShapeDtypeStruct(shape, dtype), words)
    return draw(words)


def constant(value: float) -> Initialiser:
    """Initialiser that fills with `value`; it ignores its key."""

    def init(key, shape, dtype=jnp.float32):
        return np.full(shape, value, dtype)

    return init


def symmetric_uniform(bound: float) -> Initialiser:
    """Initialiser that draws uniformly from [-bound, bound)."""

    def init(key, shape, dtype=jnp.float32):
        return _draw(key, shape, dtype, lambda rng: rng.uniform(-bound, bound, shape))

    return init


def fan_in_normal(
    key: PRNGKeyArray, shape: Sequence[int], dtype: Any = jnp.float32, groups: int = 1
) -> Float[np.ndarray | Array, "k k I O"]:
    """Normal with variance 2 / (k k in), for a kernel `[k, k, in / groups, out]`.

    As in PaddlePaddle, `in` counts the channels of the whole input even if a filter sees only one.
    """
    size, width, channels, _ = shape
    std = (2.0 / (size * width * channels * groups)) ** 0.5
    return _draw(key, shape, dtype, lambda rng: rng.normal(0.0, std, shape))


def kaiming_uniform(
    key: PRNGKeyArray, shape: Sequence[int], dtype: Any = jnp.float32
) -> Float[np.ndarray | Array, "k k I O"]:
    """Uniform in +-sqrt(6 / (k k in)) for a kernel `[k, k, in, out]` (arXiv:1502.01852)."""
    size, width, channels, _ = shape
    return symmetric_uniform((6.0 / (size * width * channels)) ** 0.5)(key, shape, dtype)


def kaiming_uniform_transposed(
    key: PRNGKeyArray, shape: Sequence[int], dtype: Any = jnp.float32
) -> Float[np.ndarray | Array, "k k I O"]:
    """Like `kaiming_uniform`, but counts the output channels: uniform in +-sqrt(6 / (k k out)).

    PaddlePaddle reads the fan-in off the second axis of a weight, which in a transposed convolution
    is the output. In the last layer, with one output, the bound is therefore 1.22, and an untrained
    shrink map is close to saturation.
    """
    return symmetric_uniform((6.0 / (shape[0] * shape[1] * shape[3])) ** 0.5)(key, shape, dtype)
