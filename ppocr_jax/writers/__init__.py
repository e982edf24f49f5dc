"""Records of a run for tools that draw curves: TensorBoard, MLflow, or one of your own."""

from typing import Any, Protocol

from ppocr_jax.choices import Choices
from ppocr_jax.errors import UserError

# config.log.writers: (workdir, first step, config as nested dicts) -> a Writer.
WRITERS = Choices(__name__, tensorboard="tensorboard.TensorBoard", mlflow="mlflow_run.MLflowRun")


class NotInstalled(UserError):
    """A writer's library is missing; says how to install it."""


class Writer(Protocol):
    """Where records go. Whatever a method raises costs the writer, not the run: see `Writers`.

    `step` is the number of updates done; names are parted by `/`, as in `eval/student/hmean`.
    """

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Numbers by name."""

    def text(self, step: int, name: str, text: str) -> None:
        """A text of several lines, such as the config."""

    def image(self, step: int, name: str, picture: Any) -> None:
        """A picture, uint8 `[H, W, 3]` BGR."""

    def close(self) -> None:
        """Ends the writing; called once."""
