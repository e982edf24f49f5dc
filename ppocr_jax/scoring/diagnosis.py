"""Why a score is bad: the likeliest cause in one sentence, from the maps, the boxes, the labels.

`CAUSES` are asked in turn; the first that has an answer is believed, so what proves itself stands
before what is merely usual.
"""

from ppocr_jax.scoring import causes_in_data, causes_in_run
from ppocr_jax.scoring.case import NEARLY_NONE, Case, Cause

POOR = 0.2  # hmean of given weights, below which what proves itself is said
FELL = 0.7  # of the best hmean, below which a score has fallen

CAUSES = (
    causes_in_data.labels_ignored,
    causes_in_data.unreadable_images,
    causes_in_data.labels_misplaced,
    causes_in_data.training_labels_misplaced,
    causes_in_run.rate_too_high,
    causes_in_data.text_too_small,
    causes_in_run.fresh_values,
    causes_in_data.crops_too_small,
    causes_in_data.kind_of_boxes,
    causes_in_run.maps_empty,
    causes_in_run.maps_full,
    causes_in_run.warm_up,
    causes_in_run.learned_by_heart,
    causes_in_run.too_few_images,
    causes_in_run.rate_or_data,
    causes_in_run.no_box_fits,
)


def find_cause(outcomes, metrics, config, course):
    """`Cause` of a bad score; None where the score is not bad, or nothing explains it.

    Args:
        outcomes: `evaluation.Outcome`s of this process.
        metrics: see `evaluation.summary`.
        config: a whole config.
        course: `Course`.
    """
    if not is_bad(metrics["hmean"], course):
        return None
    case = Case(outcomes, metrics, config, course)
    for look in CAUSES:
        text = look(case)
        if text:
            return Cause(look.__name__, f"likely cause: {text}")
    return None


def is_bad(hmean, course):
    """Whether a score asks for an explanation; that of a run on its way does not."""
    best = course.best or 0.0
    fell = best > 2 * NEARLY_NONE and hmean < FELL * best
    finds_nothing = hmean == 0 or (course.step == 0 and hmean < POOR)
    return finds_nothing or fell or course.worse or course.ends
