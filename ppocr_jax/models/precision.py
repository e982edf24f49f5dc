"""How the factors of float32 products are rounded where that can be chosen: on GPUs and TPUs.

By default JAX lets a GPU round them to TF32, which keeps 10 of the 23 bits behind the point: the
maps of a network are then those of the CPU to some 1e-3 rather than 1e-6.
"""

import functools

import jax
import jax.numpy as jnp

from ppocr_jax.models import PRECISIONS
from ppocr_jax.runtime.platform import platform


def in_precision(function, precision, networks):
    """`function` as it has to be traced for its float32 products to be rounded as asked.

    Gradients are rounded in the same way where they are made inside `function`. On CPU, and for
    networks without float32 arithmetic, nothing is asked for.

    Args:
        function: of arrays, not jitted.
        precision: one of `PRECISIONS`.
        networks: that it runs, by their `dtype`.
    """
    wide = any(network.dtype == jnp.float32 for network in networks if hasattr(network, "dtype"))

    @functools.wraps(function)
    def traced(*args, **kwargs):
        if platform() == "cpu" or not wide:
            return function(*args, **kwargs)
        with jax.default_matmul_precision(PRECISIONS[precision]):
            return function(*args, **kwargs)

    return traced


def describe_precision(precision, dtype):
    """What a device does with float32 products, in words; "" where there is no choice."""
    if platform() == "cpu" or dtype != "float32":
        return ""
    if precision == "float32":
        return (
            "float32 products in full; config.precision=tf32 rounds their factors to 10 bits on "
            "a GPU and lets it multiply several times as fast"
        )
    return "the factors of float32 products are rounded to TF32, 10 bits, on a GPU"
