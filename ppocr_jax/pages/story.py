"""What a run has recorded, told: `metrics.jsonl` -> curves, the base's score, the best one's."""

import json
import math
import pathlib
from typing import Any, NamedTuple

from ppocr_jax.pages.curves import Curve, draw_curves
from ppocr_jax.scoring.mistakes import number
from ppocr_jax.weights.sources import open_source

FILE = "metrics.jsonl"


class History(NamedTuple):
    """The records of a run by kind, in the order of their steps.

    Attributes:
        start: of every start and resume.
        train: of the updates: rate, losses by name.
        evals: of the evaluations, one per role and step; `hmean` and what explains it.
        unreadable: lines that are no records.
    """

    start: list[dict[str, Any]]
    train: list[dict[str, Any]]
    evals: list[dict[str, Any]]
    unreadable: int = 0

    def roles(self):
        """Names of the roles that were evaluated, in their first order."""
        return list(dict.fromkeys(record["role"] for record in self.evals))

    def scores(self, role, name="hmean"):
        """`[(step, value)]` of a role."""
        return [
            (record["step"], record[name])
            for record in self.evals
            if record["role"] == role and is_number(record.get(name))
        ]

    def base(self, role):
        """The record of the weights that the run began with; None where it began from none."""
        first = [r for r in self.evals if r["role"] == role and r["step"] == 0]
        return first[-1] if first else None

    def at(self, role, step):
        """The record of an evaluation; None without one. The last one counts."""
        found = [r for r in self.evals if r["role"] == role and r["step"] == step]
        return found[-1] if found else None

    def values(self, name):
        """`[(step, value)]` of a loss or the rate."""
        return [(r["step"], r[name]) for r in self.train if is_number(r.get(name))]

    def losses(self):
        """Names of the terms, the objective first."""
        names = dict.fromkeys(name for record in self.train for name in record)
        return [name for name in names if name == "total"] + [n for n in names if "/" in n]


def read_history(workdir):
    """The `History` of a workdir; an empty one where there is no such file.

    A line that cannot be read is left out and counted: a page is to show what there is.
    """
    kinds, unreadable = {"start": [], "train": [], "eval": []}, 0
    try:
        lines = pathlib.Path(workdir, FILE).read_bytes().splitlines()
    except OSError:
        lines = []
    for line in lines:
        try:
            record = json.loads(line)
            step, kind = record["step"], record["kind"]
            known = isinstance(step, int) and isinstance(kind, str)
            if kind == "eval":
                known = known and isinstance(record["role"], str) and is_number(record["hmean"])
        except (ValueError, RecursionError, TypeError, KeyError):
            known = False
        unreadable += not known
        if known and kind in kinds:
            kinds[kind].append(record)
    return History(kinds["start"], kinds["train"], kinds["eval"], unreadable)


def history_of(weights):
    """`(workdir, step, History)` of weights that are a state of a run; None of any others."""
    source = open_source(weights)
    if source.kind != "checkpoint":
        return None
    return source.path, source.step, read_history(source.path)


def describe_run(workdir, step, history, role):
    """What a page shows of a run.

    Args:
        workdir: of the run.
        step: of the state that is told of, None before the first evaluation.
        history: `History`.
        role: whose base and score are told.

    Returns:
        `{"workdir", "step", "story", "hmean", "total", "terms", "rate"}`: text, and four plots,
        see `draw_curves`.
    """
    base, terms = history.base(role), history.losses()
    scores = [
        Curve(name, history.scores(name), step if name == role else None)
        for name in history.roles()
    ]
    if base:
        scores.append(Curve("base: the weights it began with", flat=base["hmean"]))
    losses = [Curve(name, history.values(name)) for name in terms if name != "total"]
    return {
        "workdir": str(workdir),
        "step": step,
        "story": tell(step, history, role),
        "hmean": draw_curves(scores, "hmean over the steps", dots=True),
        "total": draw_curves([Curve("total", history.values("total"))], "total loss"),
        "terms": draw_curves(losses, "terms of the loss", logarithmic=True),
        "rate": draw_curves([Curve("rate", history.values("learning_rate"))], "learning rate"),
    }


def tell(step, history, role):
    """What came of a run, in sentences."""
    base, scored = history.base(role), history.at(role, step)
    ends = [r["step"] for r in (*history.train, *history.evals)]
    parts = [f"The run has done {max(ends)} steps." if ends else "The run has recorded no step."]
    if scored:
        parts.append(f"{role} at step {step}: hmean {scored['hmean']:.4f}.")
    if scored and base and step:
        gain = scored["hmean"] - base["hmean"]
        parts.append(f"The weights it began with: {base['hmean']:.4f}, a gain of {gain:+.4f}.")
    if scored and base and not step:
        parts.append("That is the base itself: no later state was better.")
    if not base:
        parts.append("No weights were scored before the first update.")
    if history.unreadable:
        lines = number(history.unreadable, "line", "lines")
        parts.append(f"{lines} of {FILE} cannot be read.")
    return " ".join(parts)


def is_number(value):
    """Whether a value of a record can be drawn."""
    return isinstance(value, int | float) and math.isfinite(value)
