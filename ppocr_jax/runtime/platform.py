"""The platform that a program is being traced for."""

from contextlib import AbstractContextManager
from typing import Any

import jax

_assumed = jax.make_user_context(default_value=None)  # part of JAX's cache key of traces


def platform() -> str:
    """ "cpu", "gpu" or "tpu": networks choose the form of an operation by it."""
    return _assumed.value or jax.default_backend()


def assume(name: str) -> AbstractContextManager[Any]:
    """A context in which functions are traced as for another platform.

    That platform's forms of operations run anywhere, so they can be compared, or compiled for a
    device that is not present.

    Args:
        name: "cpu", "gpu" or "tpu".
    """
    return _assumed(name)
