"""The evidence that a diagnosis of a bad score may use, and words for how the maps look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from ppocr_jax.data.sample import Sample
from ppocr_jax.scoring.evaluation import Outcome

NEARLY_NONE = 0.05  # hmean below which a network finds no text


class Course(NamedTuple):
    """What a training run knows beyond the evaluation itself.

    Attributes:
        step: updates done.
        begin: updates done before the current segment of the learning rate schedule.
        warmup: warm-up updates of that segment.
        rate: the highest learning rate of the run so far.
        fresh: parts of the network that started from random initial values.
        growth: norm of the parameters relative to their first values; 1 where it is not known.
        losses: total loss in the first and the last record, or None.
        best: hmean of the best evaluation so far; None without one.
        worse: whether the base is better by more than chance.
        ends: whether the run is ending without ever having beaten its base.
        samples: of the training split.
        misfit: why the training labels seem to be made for other images; "" where they fit.
    """

    step: int = 0
    begin: int = 0
    warmup: int = 0
    rate: float = 0.0
    fresh: tuple[str, ...] = ()
    growth: float = 1.0
    losses: tuple[float, float] | None = None
    best: float | None = None
    worse: bool = False
    ends: bool = False
    samples: Sequence[Sample] = ()
    misfit: str = ""


class Cause(NamedTuple):
    """The likeliest cause of a bad score: its name, and a sentence for the user."""

    name: str
    text: str


class Case(NamedTuple):
    """All evidence on one evaluation.

    Attributes:
        outcomes: per image.
        metrics: see `evaluation.summary`.
        config: a whole config.
        course: of the run; `Course()` for weights without one.
    """

    outcomes: Sequence[Outcome]
    metrics: dict[str, Any]
    config: ConfigDict
    course: Course


def describe_maps(case: Case) -> str:
    """How the maps look, as part of a sentence."""
    metrics, thresh = case.metrics, case.config.postprocess.thresh
    if metrics["map_max"] <= thresh:
        return f"nothing in the maps is above the threshold {thresh:g}"
    if metrics["map_mean"] > max(thresh, 0.5):
        return f"nearly all of the maps is above the threshold {thresh:g}"
    if not metrics["boxes_found"]:
        return f"no region of the maps reaches {case.config.postprocess.box_thresh:g}"
    return f"{metrics['boxes_matched']} of {metrics['boxes_found']} found boxes are words"


def to_32(value: float) -> int:
    """The nearest multiple of 32, at least 32: the networks halve an image five times."""
    return max(32, round(value / 32) * 32)
