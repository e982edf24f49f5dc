"""What a cause of a bad score may look at, and how it says what the maps look like. Pure."""

from typing import Any, NamedTuple

NEARLY_NONE = 0.05  # hmean below which a network finds no text


class Course(NamedTuple):
    """What a run knows besides the evaluation.

    Attributes:
        step: updates done.
        begin: of them before the segment of the rate that made the last one.
        warmup: updates of that segment in which the rate rises.
        rate: the highest that the run was given so far.
        fresh: parts of the network that began from fresh values.
        growth: norm of the parameters by that of the first ones; 1 where it is not known.
        losses: of the first and of the last record, or None.
        best: hmean of the best evaluation so far; None without one.
        worse: whether the base is better by more than chance.
        ends: whether this is the end of a run that was never above its base.
        samples: of the training split.
        misfit: why its labels seem to be those of other pictures; "" where they fit.
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
    samples: Any = ()
    misfit: str = ""


class Cause(NamedTuple):
    """The likeliest cause: a word for it, and a sentence."""

    name: str
    text: str


class Case(NamedTuple):
    """All that a cause may look at."""

    outcomes: Any
    metrics: dict[str, Any]
    config: Any
    course: Course


def describe_maps(case):
    """What the maps look like, as a half sentence."""
    metrics, thresh = case.metrics, case.config.postprocess.thresh
    if metrics["map_max"] <= thresh:
        return f"nothing in the maps is above the threshold {thresh:g}"
    if metrics["map_mean"] > max(thresh, 0.5):
        return f"nearly all of the maps is above the threshold {thresh:g}"
    if not metrics["boxes_found"]:
        return f"no region of the maps reaches {case.config.postprocess.box_thresh:g}"
    return f"{metrics['boxes_matched']} of {metrics['boxes_found']} found boxes are words"


def to_32(value):
    return max(32, round(value / 32) * 32)
