"""The precision of float32 products on GPUs and TPUs.

By default JAX lets a GPU round the factors of float32 products to TF32, which keeps 10 of the 23
bits of the mantissa. A network's maps then agree with those of the CPU to about 1e-3 instead of
1e-6.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from ppocr_jax.models import PRECISIONS
from ppocr_jax.runtime.platform import platform


def in_precision(
    function: Callable[..., Any], precision: str, networks: Iterable[Any]
) -> Callable[..., Any]:
    """Wraps a function so that its float32 products have the given precision.

    This covers gradients that are taken inside `function`. It changes nothing on CPUs, nor for
    networks that do no float32 arithmetic.

    Args:
        function: a function of arrays, not jitted yet.
        precision: a key of `PRECISIONS`.
        networks: the modules that `function` runs; their `dtype` is read.
    """
    # bfloat16 and float64 products are computed as they are, whatever the precision.
    wide = any(network.dtype == jnp.float32 for network in networks if hasattr(network, "dtype"))

    @functools.wraps(function)
    def traced(*args, **kwargs):
        if platform() == "cpu" or not wide:
            return function(*args, **kwargs)
        with jax.default_matmul_precision(PRECISIONS[precision]):
            return function(*args, **kwargs)

    return traced


def describe_precision(precision: str, dtype: str) -> str:
    """One sentence about the precision of float32 products; "" where there is no choice."""
    if platform() == "cpu" or dtype != "float32":
        return ""
    if precision == "float32":
        return (
            "float32 products in full precision; on a GPU config.precision=tf32 is faster and "
            "rounds their factors to 10 bits"
        )
    return "float32 products in TF32 on a GPU: their factors are rounded to 10 bits"
