"""Reads `metrics.jsonl` of a run and describes it: curves, the base's score, the best score.

The base is the weights that the run started from.
"""

import json
import math
import os
import pathlib
from typing import Any, NamedTuple

from etils import epath

from ppocr_jax.pages.curves import Curve, Point, draw_curves
from ppocr_jax.scoring.mistakes import number
from ppocr_jax.weights.sources import open_source

FILE = "metrics.jsonl"


class History(NamedTuple):
    """The records of a run by kind, in the order of the file.

    Attributes:
        start: one per start and resume.
        train: learning rate and losses by name, every `log.every_steps` steps.
        evals: one per role and evaluation, with `hmean` and the counts behind it.
        unreadable: number of lines that are not records.
    """

    start: list[dict[str, Any]]
    train: list[dict[str, Any]]
    evals: list[dict[str, Any]]
    unreadable: int = 0

    def roles(self) -> list[str]:
        """Names of the roles that were evaluated."""
        return list(dict.fromkeys(record["role"] for record in self.evals))

    def scores(self, role: str, name: str = "hmean") -> list[Point]:
        """`[(step, value)]` of a metric of a role."""
        return [
            (record["step"], record[name])
            for record in self.evals
            if record["role"] == role and is_number(record.get(name))
        ]

    def base(self, role: str) -> dict[str, Any] | None:
        """The evaluation before the first step, of the weights the run started from; or None."""
        return self.at(role, 0)

    def at(self, role: str, step: int | None) -> dict[str, Any] | None:
        """The evaluation at a step, or None; of several, after a resume, the last one."""
        found = [r for r in self.evals if r["role"] == role and r["step"] == step]
        return found[-1] if found else None

    def last_step(self) -> int:
        """The last recorded step."""
        return max((record["step"] for record in (*self.train, *self.evals)), default=0)

    def values(self, name: str) -> list[Point]:
        """`[(step, value)]` of a loss or of the learning rate."""
        return [(r["step"], r[name]) for r in self.train if is_number(r.get(name))]

    def losses(self) -> list[str]:
        """Names of the losses, the total first."""
        names = dict.fromkeys(name for record in self.train for name in record)
        return [name for name in names if name == "total"] + [n for n in names if "/" in n]


def read_history(workdir: str | os.PathLike[str]) -> History:
    """The records of a workdir; none if the file does not exist.

    Lines that cannot be read are skipped and counted: the page shows whatever there is.
    """
    kinds: dict[str, list[dict[str, Any]]] = {"start": [], "train": [], "eval": []}
    unreadable = 0
    try:
        lines = pathlib.Path(workdir, FILE).read_bytes().splitlines()
    except OSError:
        lines = []
    for line in lines:
        try:
            record = json.loads(line)
            step, kind = record["step"], record["kind"]
            # A run that was killed leaves half a line, and people edit files.
            known = isinstance(step, int) and isinstance(kind, str)
            if kind == "eval":
                known = known and isinstance(record["role"], str) and is_number(record["hmean"])
        except (ValueError, RecursionError, TypeError, KeyError):
            known = False
        unreadable += not known
        if known and kind in kinds:
            kinds[kind].append(record)
    return History(kinds["start"], kinds["train"], kinds["eval"], unreadable)


def history_of(
    weights: str | os.PathLike[str],
) -> tuple[epath.Path, int | None, History] | None:
    """`(workdir, step, history)` of weights that are a checkpoint of a run; None of any others."""
    source = open_source(weights)
    if source.kind != "checkpoint":
        return None
    return source.path, source.step, read_history(source.path)


def describe_run(
    workdir: str | os.PathLike[str], step: int | None, history: History, role: str
) -> dict[str, Any]:
    """The variables of the section on a run.

    Args:
        workdir: of the run.
        step: of the checkpoint to describe; None before the first evaluation.
        history: of the run.
        role: the network to describe.

    Returns:
        `{"workdir", "step", "story", "hmean", "total", "terms", "rate"}`: text, and four plots as
        `draw_curves` returns them.
    """
    base, terms = history.base(role), history.losses()
    scores = [
        Curve(name, history.scores(name), step if name == role else None)
        for name in history.roles()
    ]
    if base:
        scores.append(Curve("base: the weights it started from", flat=base["hmean"]))
    losses = [Curve(name, history.values(name)) for name in terms if name != "total"]
    return {
        "workdir": str(workdir),
        "step": step,
        "story": tell(step, history, role),
        "hmean": draw_curves(scores, "hmean over the steps", dots=True),
        "total": draw_curves([Curve("total", history.values("total"))], "total loss"),
        "terms": draw_curves(losses, "terms of the loss", logarithmic=True),
        "rate": draw_curves(
            [Curve("learning rate", history.values("learning_rate"))], "learning rate"
        ),
    }


def tell(step: int | None, history: History, role: str) -> str:
    """The result of a run, in sentences."""
    base, scored = history.base(role), history.at(role, step)
    done = history.last_step()
    parts = [f"The run has done {number(done, 'step', 'steps')}."]
    if scored:
        parts.append(f"At step {step}, {role} reaches hmean {scored['hmean']:.4f}.")
    if scored and base and step:
        gain = scored["hmean"] - base["hmean"]
        parts.append(
            f"The weights it started from (the base) reach {base['hmean']:.4f}, so the gain is "
            f"{gain:+.4f}."
        )
    if scored and base and not step:
        parts.append("These are the weights it started from: no later checkpoint was better.")
    if not base:
        parts.append("There is no score from before the first step to compare with.")
    if history.unreadable:
        lines = number(history.unreadable, "line", "lines")
        parts.append(f"{lines} of {FILE} cannot be read.")
    return " ".join(parts)


def is_number(value: Any) -> bool:
    """Whether a value of a record can be plotted."""
    return isinstance(value, int | float) and math.isfinite(value)
