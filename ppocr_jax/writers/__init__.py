"""Writers pass metrics and images of a run to other tools: TensorBoard, MLflow, or your own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from ppocr_jax.choices import Choices
from ppocr_jax.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

# config.log.writers: (workdir, first step, config as nested dicts) -> a Writer.
WRITERS = Choices(__name__, tensorboard="tensorboard.TensorBoard", mlflow="mlflow_run.MLflowRun")


class NotInstalled(UserError):
    """A writer's library is not installed; the text says how to install it."""


class Writer(Protocol):
    """Receives the metrics and images of a run.

    An exception from any method switches the writer off; training continues, see `group.Writers`.
    `step` is the number of steps done. The parts of a name are separated by `/`, as in
    `eval/student/hmean`.
    """

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes numbers by name."""

    def text(self, step: int, name: str, text: str) -> None:
        """Writes a text of several lines, such as the config."""

    def image(self, step: int, name: str, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        """Writes an image in BGR order."""

    def close(self) -> None:
        """Finishes writing; called once."""
