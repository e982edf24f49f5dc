"""Diagnosis of a bad score: the likeliest cause in one sentence, from maps, boxes and labels.

The functions in `CAUSES` are asked in turn, and the first that has an answer is believed. Causes
that can be proved come first, those that are only likely come last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from ppocr_jax.scoring import causes_in_data, causes_in_run
from ppocr_jax.scoring.case import NEARLY_NONE, Case, Cause, Course
from ppocr_jax.scoring.evaluation import Outcome

POOR = 0.2  # hmean of weights without a run, below which a cause is looked for
FELL = 0.7  # share of the best hmean so far, below which a score has fallen

CAUSES = (
    # with labels or images like these, no network could score well
    causes_in_data.labels_ignored,
    causes_in_data.unreadable_images,
    causes_in_data.labels_misplaced,
    causes_in_data.training_labels_misplaced,
    # proved by the course of training, or by the sizes of words
    causes_in_run.rate_too_high,
    causes_in_data.text_too_small,
    causes_in_run.fresh_values,
    causes_in_data.crops_too_small,
    causes_in_data.kind_of_boxes,
    # describes the maps, without knowing why they are so
    causes_in_run.maps_empty,
    causes_in_run.maps_full,
    # for runs that end or fall back without a visible fault
    causes_in_run.warm_up,
    causes_in_run.learned_by_heart,
    causes_in_run.too_few_images,
    causes_in_run.rate_or_data,
    causes_in_run.no_box_fits,
)


def find_cause(
    outcomes: Sequence[Outcome], metrics: dict[str, Any], config: ConfigDict, course: Course
) -> Cause | None:
    """The likeliest cause of a bad score.

    Args:
        outcomes: of this process's images.
        metrics: see `evaluation.summary`.
        config: a whole config.
        course: of the run; `Course()` for weights without one.

    Returns:
        None where the score is not bad, or nothing explains it.
    """
    if not is_bad(metrics["hmean"], course):
        return None
    case = Case(outcomes, metrics, config, course)
    for look in CAUSES:
        text = look(case)
        if text:
            return Cause(look.__name__, f"likely cause: {text}")
    return None


def is_bad(hmean: float, course: Course) -> bool:
    """Whether a score needs an explanation.

    Low scores in the middle of a run are normal. A score of 0, low scores of given weights, falls,
    and runs without gain are not.
    """
    best = course.best or 0.0
    fell = best > 2 * NEARLY_NONE and hmean < FELL * best
    finds_nothing = hmean == 0 or (course.step == 0 and hmean < POOR)
    return finds_nothing or fell or course.worse or course.ends
