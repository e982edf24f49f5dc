"""What kind of device a program that is being traced is for."""

import jax

_assumed = jax.make_user_context(default_value=None)  # part of the key of every traced function


def platform():
    """ "cpu", "gpu" or "tpu": the networks ask it which form of an operation to take."""
    return _assumed.value or jax.default_backend()


def assume(name):
    """A context in which functions are traced as for another platform.

    Its forms can be run anywhere, to be compared, and compiled for a device that is not there.

    Args:
        name: "cpu", "gpu" or "tpu".
    """
    return _assumed(name)
