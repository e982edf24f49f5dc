"""The log of a run: lines or a progress bar, metrics.jsonl and writers such as TensorBoard."""

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath
from jaxtyping import UInt8
from tqdm import tqdm

from ppocr_jax.errors import UserError, shown, shows_progress, wanted
from ppocr_jax.files import is_at, naming, write_bytes
from ppocr_jax.writers.group import Writers


class RunLog:
    """Writes to the terminal, to `metrics.jsonl` and to the writers of the run.

    Only the leading process writes. Use as a context manager.

    Args:
        workdir: folder of the run.
        total_steps, first_step: updates of the whole run, and those done before this start.
        leads: whether this process writes.
        writers: names from `writers.WRITERS`.
        config: as nested dicts, for the writers; None for none.
    """

    def __init__(
        self,
        workdir: epath.PathLike,
        total_steps: int,
        first_step: int = 0,
        leads: bool = True,
        writers: Sequence[str] = ("tensorboard",),
        config: dict[str, Any] | None = None,
    ) -> None:
        self.leads = leads
        self._path = epath.Path(workdir) / "metrics.jsonl"
        self._total, self._first = total_steps, first_step
        self._names, self._config = writers, config or {}
        self._bar: Any = None
        self._writers: Any = None
        self._file: Any = None

    def __enter__(self) -> "RunLog":
        if not self.leads:
            return self
        # Records after the restored step will be written again.
        for line in keep_until(self._path, self._first):
            self.say(line)
        self._file = self._path.open("a")
        self._writers = Writers(self._names, self._path.parent, self._first, self._config, self.say)
        if self._config:
            self._writers.text(self._first, "config", json.dumps(self._config, indent=2))
        if shows_progress():
            self._bar = tqdm(total=self._total, initial=self._first, unit="step")
        return self

    def __exit__(self, raised, *_):
        with contextlib.ExitStack() as closing:
            if raised:  # that is the error to report, not one in closing
                closing.enter_context(contextlib.suppress(OSError))
            for part in (self._file, self._writers, self._bar):
                if part is not None:
                    closing.callback(part.close)

    def say(self, line: str) -> None:
        """Prints a line on stderr, above the progress bar if there is one."""
        if self.leads and wanted(line):
            tqdm.write(shown(line), file=sys.stderr)
            sys.stderr.flush()

    def advance(self) -> None:
        """Moves the progress bar by one step."""
        if self._bar is not None:
            self._bar.update()

    def record(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Writes a record.

        Args:
            kind: "train", "eval" or an event of the run. Writers get each number as `kind/name`,
                or `kind/role/name` if the values name a role.
            step: updates done.
            values: JSON types.

        Raises:
            UserError: the workdir was moved or deleted.
            OSError: the disk is full, for example.
        """
        if not self.leads:
            return
        self._require_place()
        line = {"kind": kind, "step": step, "time": round(time.time(), 3), **values}
        with naming(self._path):
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()  # a killed run keeps all its records
        self._writers.scalars(step, dict(_numbers(kind, values)))

    def picture(self, name: str, step: int, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        """Gives the writers an image, BGR."""
        if self.leads:
            self._writers.image(step, name, picture)

    @property
    def takes_pictures(self) -> bool:
        """Whether any writer takes images."""
        return self.leads and bool(self._writers)

    def _require_place(self):
        """Checks that the open file still has its name: else the records would be lost."""
        if "://" not in str(self._path) and not is_at(self._file.fileno(), self._path):
            raise UserError(
                f"{self._path} no longer exists: the workdir was moved or deleted during the run; "
                "move it back and run the same command to continue"
            )


def keep_until(path: epath.Path, step: int) -> list[str]:
    """Drops the records of a `metrics.jsonl` after the step from which a run continues.

    A last line cut short by a kill is dropped too. If other lines are no records, the original file
    is kept as `metrics.jsonl.damaged`.

    Returns:
        A warning about damaged lines, or nothing.
    """
    if not path.exists():
        return []
    data = path.read_bytes()
    lines = data.splitlines(keepends=True)
    steps = [_step_of(line) for line in lines]
    whole = [line for line, at in zip(lines, steps, strict=True) if at is not None and at <= step]
    damaged = sum(at is None for at in steps[:-1])
    if damaged:
        write_bytes(path.with_name(path.name + ".damaged"), data)
    if len(whole) != len(lines):
        write_bytes(path, b"".join(whole))
    told = f"{path}: {damaged} damaged lines dropped; the original is now {path.name}.damaged"
    return [f"warning: {told}"] if damaged else []


def _step_of(line):
    """The step of a record; None if the line is no record, such as one cut short by a kill."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    step = record.get("step", 0) if isinstance(record, dict) else None
    return step if line.endswith(b"\n") and isinstance(step, int) else None


def _numbers(kind: str, values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yields `(name, number)` for the numbers among the values, as writers get them."""
    prefix = f"{kind}/{values['role']}" if "role" in values else kind
    for name, value in values.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):  # bool is an int too
            yield f"{prefix}/{name}", value


def format_losses(values: Mapping[str, float]) -> str:
    """Formats losses as `name value` pairs with four digits, on one line."""
    return ", ".join(f"{name} {value:.4f}" for name, value in values.items())


def format_duration(seconds: float) -> str:
    """Formats seconds as `1:02:03`."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
