"""Initial values, drawn by NumPy's generator from the words of a key: alike on every platform.

All return NumPy arrays, so that making a network's values compiles nothing. Under a trace, where
a key has no words yet, they become callbacks.
"""

import jax
import jax.numpy as jnp
import numpy as np


def _draw(key, shape, dtype, sample):
    """`sample(rng)` with the generator of a key."""

    def draw(words):
        return sample(np.random.default_rng(np.asarray(words).tolist())).astype(dtype)

    words = jax.random.key_data(key)
    if isinstance(words, jax.core.Tracer):
        return jax.pure_callback(draw, jax.ShapeDtypeStruct(shape, dtype), words)
    return draw(words)


def constant(value):
    """Initialiser: `value` everywhere."""

    def init(key, shape, dtype=jnp.float32):
        return np.full(shape, value, dtype)

    return init


def symmetric_uniform(bound):
    """Initialiser: uniform in +-`bound`."""

    def init(key, shape, dtype=jnp.float32):
        return _draw(key, shape, dtype, lambda rng: rng.uniform(-bound, bound, shape))

    return init


def fan_in_normal(key, shape, dtype=jnp.float32, groups=1):
    """Normal with variance 2 / (k k in). `in` counts all channels, of a depthwise filter too."""
    size, width, channels, _ = shape
    std = (2.0 / (size * width * channels * groups)) ** 0.5
    return _draw(key, shape, dtype, lambda rng: rng.normal(0.0, std, shape))


def kaiming_uniform(key, shape, dtype=jnp.float32):
    """Uniform in +-sqrt(6 / (k k in)) for a kernel `[k, k, in, out]`."""
    size, width, channels, _ = shape
    return symmetric_uniform((6.0 / (size * width * channels)) ** 0.5)(key, shape, dtype)


def kaiming_uniform_transposed(key, shape, dtype=jnp.float32):
    """As `kaiming_uniform` with fan-in 4 x outputs: the original takes the axis it finds second.

    For the last layer (one output) the bound is 1.22: a new shrink map starts near saturation.
    """
    return symmetric_uniform((6.0 / (shape[0] * shape[1] * shape[3])) ** 0.5)(key, shape, dtype)
