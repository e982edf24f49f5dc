"""What a run leaves to read: lines or a progress bar, metrics.jsonl, and what writers keep."""

import contextlib
import json
import sys
import time

from etils import epath
from tqdm import tqdm

from ppocr_jax.errors import UserError, shown, shows_progress, wanted
from ppocr_jax.files import is_at, naming, write_bytes
from ppocr_jax.writers.group import Writers


class RunLog:
    """Writes every record to the terminal, to `metrics.jsonl` and to the writers of the run.

    A process that does not lead writes nothing. Use as a context manager.

    Args:
        workdir: folder of the run.
        total_steps, first_step: updates of the whole run, and those done before this start.
        leads: whether this process writes.
        writers: names of `writers.WRITERS`.
        config: as nested dicts; {} for none.
    """

    def __init__(
        self, workdir, total_steps, first_step=0, leads=True, writers=("tensorboard",), config=None
    ):
        self.leads = leads
        self._path = epath.Path(workdir) / "metrics.jsonl"
        self._total, self._first = total_steps, first_step
        self._names, self._config = writers, config or {}
        self._bar = self._writers = self._file = None

    def __enter__(self):
        if not self.leads:
            return self
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
            if raised:  # which is already the reason to end
                closing.enter_context(contextlib.suppress(OSError))
            for part in (self._file, self._writers, self._bar):
                if part is not None:
                    closing.callback(part.close)

    def say(self, line):
        """One line for people, beside the progress bar where there is one."""
        if self.leads and wanted(line):
            tqdm.write(shown(line), file=sys.stderr)
            sys.stderr.flush()

    def advance(self):
        if self._bar is not None:
            self._bar.update()

    def record(self, kind, step, values):
        """Keeps a record under `kind`: "train", "eval" or an event of the run.

        Args:
            kind: name of the record; writers get each number as `kind/name`, or
                `kind/role/name` where the values name a role.
            step: updates done.
            values: JSON's types.

        Raises:
            UserError: the workdir was moved or deleted.
            OSError: a full disk, for example.
        """
        if not self.leads:
            return
        self._require_place()
        line = {"kind": kind, "step": step, "time": round(time.time(), 3), **values}
        with naming(self._path):
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        self._writers.scalars(step, dict(_numbers(kind, values)))

    def picture(self, name, step, picture):
        """Gives the writers a picture, uint8 `[H, W, 3]` BGR."""
        if self.leads:
            self._writers.image(step, name, picture)

    @property
    def takes_pictures(self):
        """Whether anything becomes of a picture."""
        return self.leads and bool(self._writers)

    def _require_place(self):
        """Refuses to write to a file that nobody will find."""
        if "://" not in str(self._path) and not is_at(self._file.fileno(), self._path):
            raise UserError(
                f"{self._path} is not there any more: the workdir was moved or deleted while the "
                "run went on, so it ends; moved back, the same command continues"
            )


def keep_until(path, step):
    """Drops from a `metrics.jsonl` what a run wrote after the step that it continues from.

    What a kill cut short at the end goes as well. Where something else is no record, the file as
    it was is kept as `metrics.jsonl.damaged`.

    Returns:
        Lines on what was found damaged.
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
    told = f"{path}: {damaged} damaged lines left out; the file as it was is {path.name}.damaged"
    return [f"warning: {told}"] if damaged else []


def _step_of(line):
    """The step of a record; None where the line is none, as one that a kill cut short."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    step = record.get("step", 0) if isinstance(record, dict) else None
    return step if line.endswith(b"\n") and isinstance(step, int) else None


def _numbers(kind, values):
    """`(name, number)` of the values that are numbers, as writers get them."""
    prefix = f"{kind}/{values['role']}" if "role" in values else kind
    for name, value in values.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f"{prefix}/{name}", value


def format_losses(values):
    """`name value` pairs with four digits, for one line."""
    return ", ".join(f"{name} {value:.4f}" for name, value in values.items())


def format_duration(seconds):
    """`1:02:03` from seconds."""
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
