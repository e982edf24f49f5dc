"""Optimisers and the learning-rate schedule: gradients -> parameter updates."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ml_collections

from ppocr_jax.choices import Choices

if TYPE_CHECKING:  # a config is checked against OPTIMISERS, which must not wait for JAX
    import optax

# config.optimizer.name: (config.optimizer, schedule) -> optax.GradientTransformation.
OPTIMISERS = Choices(__name__, adam="adam.make_adam")


def make_optimizer(
    config: ml_collections.ConfigDict, schedule: Callable[..., Any]
) -> "optax.GradientTransformationExtraArgs":
    """Builds the optimiser that a config names.

    Args:
        config: `config.optimizer`.
        schedule: `(count, plan)` -> learning rate, or `count` -> learning rate where steps pass no
            `plan`; see `adam.scale_by_rate`.

    Raises:
        UserError: no optimiser has this name.
    """
    return OPTIMISERS.pick("config.optimizer.name", config.get("name", "adam"))(config, schedule)
