"""Causes of a bad score that lie in the run and its weights: rate, fresh values, warm-up, chance.

Each takes a `case.Case` and gives half a sentence, or "" where it is not the cause.
"""

import math

from ppocr_jax.errors import counted
from ppocr_jax.optim.schedule import name_warmup
from ppocr_jax.scoring.case import NEARLY_NONE, describe_maps
from ppocr_jax.scoring.causes_in_data import crops_too_small

LONG = 1000  # updates, after which fresh values have become a network
USUAL_RATE = 1e-3  # the highest that is published for these networks


def rate_too_high(case):
    course = case.course
    if not course.step:
        return ""
    first, last = course.losses or (math.nan, math.nan)
    most = 5.0 if course.fresh and course.step > LONG else 2.0  # fresh values grow in time
    rose = last > 1.1 * first and course.growth > 1.05
    if not (course.growth > most or rose):  # a loss of few crops rises by chance as well
        return ""
    loss = f", the loss rose from {first:.3g} to {last:.3g}" if last > first else ""
    return (
        f"the learning rate {course.rate:g} is too high: in {course.step} updates the weights grew "
        f"to {course.growth:.2g} times their size{loss}, and {describe_maps(case)}; begin anew "
        f"with {min(course.rate / 10, USUAL_RATE):g} or less"
    )


def fresh_values(case):
    course = case.course
    if not course.fresh or case.metrics["hmean"] >= NEARLY_NONE:
        return ""
    besides = crops_too_small(case)
    return (
        f"{_list(course.fresh)} began from fresh values {_ago(course.step)}, so "
        f"{describe_maps(case)}: to learn to find text takes thousands of updates, and a whole "
        "detector in init_from, such as the published student, finds some at once"
    ) + (f"; besides, {besides}" if besides else "")


def maps_empty(case):
    post, metrics = case.config.postprocess, case.metrics
    if metrics["boxes_found"]:
        return ""
    if metrics["map_max"] <= post.thresh:
        return (
            f"the maps nowhere exceed postprocess.thresh={post.thresh:g} (their highest value is "
            f"{metrics['map_max']:.3g}): these weights find no text in these pictures, or are not "
            "those of this network"
        )
    return (
        f"no region of the maps has a mean of postprocess.box_thresh={post.box_thresh:g} (the "
        f"highest value is {metrics['map_max']:.3g}); the weights have learned too little yet, or "
        "the threshold is too high"
    )


def maps_full(case):
    if case.metrics["map_mean"] < 0.5:
        return ""
    return (
        f"{describe_maps(case)}: text is seen everywhere, as by weights that have learned nothing "
        "yet or that too high a rate has ruined"
    )


def warm_up(case):
    course = case.course
    made = course.step - course.begin
    if not (course.ends and course.warmup >= made > 0):
        return ""
    since = f" since step {course.begin}" if course.begin else ""
    return (
        f"the rate was still rising when the run ended: the warm-up takes {course.warmup} updates "
        f"({name_warmup(case.config)}) and the run had {made}{since}; train for "
        "longer, or shorten the warm-up"
    )


def learned_by_heart(case):
    course = case.course
    if not (course.worse and course.losses and course.losses[1] < 0.9 * course.losses[0]):
        return ""
    first, last = course.losses
    return (
        f"the training loss fell from {first:.3g} to {last:.3g} while other images got worse: the "
        f"{len(course.samples)} training images are learned by heart, or are of another kind than "
        "the validation images; take more images, fewer updates or a lower rate"
    )


def too_few_images(case):
    course = case.course
    if not course.ends or course.worse:
        return ""
    return (
        f"no difference to the base is more than chance with {case.metrics['images']} validation "
        "images: more of them would show smaller gains, more updates or training images make "
        "larger ones"
    )


def rate_or_data(case):
    course = case.course
    if not (course.step and (course.worse or (course.best or 0.0) > case.metrics["hmean"])):
        return ""
    return (
        f"the learning rate {course.rate:g} moves weights that were better before too far; lower "
        "it, and compare the training labels with what the base finds"
    )


def no_box_fits(case):
    metrics = case.metrics
    if metrics["hmean"] or not metrics["boxes_found"]:
        return ""
    return (
        f"none of {counted(metrics['boxes_found'], 'found box')} fits one of "
        f"{counted(metrics['boxes_labelled'], 'label')}: show-data --weights lays them over each "
        "other"
    )


def _ago(step):
    return "and no update was made yet" if not step else f"{step} update{'s' * (step > 1)} ago"


def _list(names):
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
