"""The writers of a run as one. A writer that fails is switched off, and training continues."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ppocr_jax.errors import explain
from ppocr_jax.writers import WRITERS, NotInstalled, Writer

if TYPE_CHECKING:
    import numpy as np
    from etils import epath
    from jaxtyping import UInt8


class Writers:
    """A `Writer` that passes everything on to each writer that still works.

    Args:
        names: names of `WRITERS`.
        workdir: folder of the run.
        first_step: steps done when the run starts or is resumed.
        config: the run's config as nested dicts.
        say: called with the line on a writer that fails.

    Raises:
        NotInstalled: a writer's library is not installed.
    """

    def __init__(
        self,
        names: Iterable[str],
        workdir: epath.PathLike,
        first_step: int,
        config: Mapping[str, Any],
        say: Callable[[str], object],
    ) -> None:
        self._say = say
        self._open: dict[str, Writer] = {}
        for name in dict.fromkeys(names):
            try:
                opens = WRITERS.pick("config.log.writers", name)
                self._open[name] = opens(workdir, first_step, config)
            except NotInstalled:
                raise  # a mistake of the user, to be told before training begins
            except Exception as error:
                self._leave_out(name, error)

    def __bool__(self) -> bool:
        return bool(self._open)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes numbers by name."""
        self._tell_all("scalars", step, values)

    def text(self, step: int, name: str, text: str) -> None:
        """Writes a text of several lines."""
        self._tell_all("text", step, name, text)

    def image(self, step: int, name: str, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        """Writes an image in BGR order."""
        self._tell_all("image", step, name, picture)

    def close(self) -> None:
        """Closes all writers."""
        self._tell_all("close")
        self._open = {}

    def _tell_all(self, method: str, *values: Any) -> None:
        for name, writer in list(self._open.items()):
            try:
                getattr(writer, method)(*values)
            except Exception as error:  # a full disk, or a server that does not answer
                del self._open[name]
                self._leave_out(name, error)

    def _leave_out(self, name: str, error: Exception) -> None:
        filename = getattr(error, "filename", None)
        place = f"{filename}: " if filename else ""
        self._say(
            f"warning: log.writers: {name} failed and is off until the run is started again "
            f"({place}{explain(error)}); training continues, metrics.jsonl has every record"
        )
