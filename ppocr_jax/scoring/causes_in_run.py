"""Causes of a bad score in the run and its weights: learning rate, initial values, warm-up, chance.

Each function checks a `case.Case` for one cause. It returns the sentence for the user, or "" where
it is not the cause.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ppocr_jax.errors import counted
from ppocr_jax.optim.schedule import name_warmup
from ppocr_jax.scoring.case import NEARLY_NONE, Case, describe_maps
from ppocr_jax.scoring.causes_in_data import crops_too_small

LONG = 1000  # updates after which random initial values have become a network
USUAL_RATE = 1e-3  # the highest learning rate published for these networks


def rate_too_high(case: Case) -> str:
    """Training diverged: the weights grew far beyond their first norm, or the loss rose."""
    course = case.course
    if not course.step:
        return ""
    first, last = course.losses or (math.nan, math.nan)
    # Pretrained weights hardly grow; random initial ones grow as they learn.
    most = 5.0 if course.fresh and course.step > LONG else 2.0
    # The loss of few crops also rises by chance, so the weights must have grown as well.
    rose = last > 1.1 * first and course.growth > 1.05
    if not (course.growth > most or rose):
        return ""
    loss = f", the loss rose from {first:.3g} to {last:.3g}" if last > first else ""
    return (
        f"the learning rate {course.rate:g} is too high: in {course.step} updates the weights grew "
        f"to {course.growth:.2g} times their norm{loss}, and {describe_maps(case)}; start again "
        f"with {min(course.rate / 10, USUAL_RATE):g} or less"
    )


def fresh_values(case: Case) -> str:
    """Parts of the network started from random values and have not learned enough yet."""
    course = case.course
    if not course.fresh or case.metrics["hmean"] >= NEARLY_NONE:
        return ""
    besides = crops_too_small(case)
    return (
        f"{_list(course.fresh)} started from random values {_ago(course.step)}, so "
        f"{describe_maps(case)}: learning to find text takes thousands of updates, while a whole "
        "detector in init_from, such as the published student, finds some at once"
    ) + (f"; besides, {besides}" if besides else "")


def maps_empty(case: Case) -> str:
    """No region of the maps passes the thresholds."""
    post, metrics = case.config.postprocess, case.metrics
    if metrics["boxes_found"]:
        return ""
    if metrics["map_max"] <= post.thresh:
        return (
            f"the maps nowhere exceed postprocess.thresh={post.thresh:g} (their highest value is "
            f"{metrics['map_max']:.3g}): these weights find no text in these images, or belong to "
            "another network"
        )
    return (
        f"no region of the maps has a mean of postprocess.box_thresh={post.box_thresh:g} (the "
        f"highest value is {metrics['map_max']:.3g}); the weights have not learned enough yet, or "
        "the threshold is too high"
    )


def maps_full(case: Case) -> str:
    """The maps are near 1 everywhere."""
    if case.metrics["map_mean"] < 0.5:
        return ""
    return (
        f"{describe_maps(case)}: the network sees text everywhere, as untrained weights do, and "
        "weights that too high a learning rate has ruined"
    )


def warm_up(case: Case) -> str:
    """The run ended before the learning rate had reached its highest value."""
    course = case.course
    made = course.step - course.begin
    if not (course.ends and course.warmup >= made > 0):
        return ""
    since = f" since step {course.begin}" if course.begin else ""
    return (
        f"the learning rate was still rising when the run ended: the warm-up takes {course.warmup} "
        f"updates ({name_warmup(case.config)}) and the run had {made}{since}; train for "
        "longer, or shorten the warm-up"
    )


def learned_by_heart(case: Case) -> str:
    """Overfitting: the training loss fell while the validation set got worse."""
    course = case.course
    if not (course.worse and course.losses and course.losses[1] < 0.9 * course.losses[0]):
        return ""
    first, last = course.losses
    return (
        f"the training loss fell from {first:.3g} to {last:.3g} while the validation score did "
        f"too: the network overfits the {len(course.samples)} training images, or these differ in "
        "kind from the validation images; use more images, fewer updates or a lower learning rate"
    )


def too_few_images(case: Case) -> str:
    """The validation set is too small to show the difference that was made."""
    course = case.course
    if not course.ends or course.worse:
        return ""
    return (
        f"no difference to the base is more than chance with {case.metrics['images']} validation "
        "images: more of them would show smaller gains, more updates or training images make "
        "larger ones"
    )


def rate_or_data(case: Case) -> str:
    """The score fell for no reason that can be proved: the usual suspects."""
    course = case.course
    if not (course.step and (course.worse or (course.best or 0.0) > case.metrics["hmean"])):
        return ""
    return (
        f"the learning rate {course.rate:g} moves the weights too far from better ones; lower it, "
        "and compare the training labels with what the base finds"
    )


def no_box_fits(case: Case) -> str:
    """Boxes are found, and none of them matches a label."""
    metrics = case.metrics
    if metrics["hmean"] or not metrics["boxes_found"]:
        return ""
    return (
        f"none of {counted(metrics['boxes_found'], 'found box')} fits one of "
        f"{counted(metrics['boxes_labelled'], 'label')}: show-data --weights draws both on the "
        "images"
    )


def _ago(step: int) -> str:
    return "and no update was made yet" if not step else f"{step} update{'s' * (step > 1)} ago"


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
