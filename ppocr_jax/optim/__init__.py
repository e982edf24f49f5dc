"""Gradients -> updates of the parameters: optimisers, and the learning rate by step."""

from ppocr_jax.choices import Choices

# config.optimizer.name: (config.optimizer, schedule) -> optax.GradientTransformation.
OPTIMISERS = Choices(__name__, adam="adam.make_adam")


def make_optimizer(config, schedule):
    """The optimiser that a config names.

    Args:
        config: `config.optimizer`.
        schedule: updates done, and the `plan` of an update where there is one -> learning rate.

    Raises:
        UserError: there is none of this name.
    """
    return OPTIMISERS.pick("config.optimizer.name", config.get("name", "adam"))(config, schedule)
