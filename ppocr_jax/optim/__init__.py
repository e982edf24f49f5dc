"""The rate of each step, and the optimiser that takes it."""

from ppocr_jax.choices import Choices

OPTIMISERS = Choices(__name__, adam="adam.make_adam")
