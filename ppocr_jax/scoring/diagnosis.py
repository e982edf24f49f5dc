"""Why a score is bad: the likeliest cause in one sentence, from the maps, the boxes, the labels.

`CAUSES` are asked in turn; the first that has an answer is believed, so what proves itself stands
before what is merely usual.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from ppocr_jax.data.words_in_crops import measure_crops
from ppocr_jax.scoring.breakdown import measure_words
from ppocr_jax.scoring.misplaced import find_misplaced

NEARLY_NONE = 0.05  # hmean below which a network finds no text
POOR = 0.2  # hmean of given weights, below which what proves itself is said
FELL = 0.7  # of the best hmean, below which a score has fallen
LONG = 1000  # updates, after which fresh values have become a network
USUAL_RATE = 1e-3  # the highest that is published for these networks
SMALL = 8  # pixels at the network's scale, below which text is hardly found


class Course(NamedTuple):
    """What a run knows besides the evaluation.

    Attributes:
        step: updates done.
        warmup: updates of it in which the rate rises.
        rate: the highest that the run was given.
        fresh: parts of the network that began from fresh values.
        growth: norm of the parameters by that of the first ones; 1 where it is not known.
        losses: of the first and of the last record, or None.
        best: hmean of the best evaluation so far; None without one.
        worse: whether the base is better by more than chance.
        ends: whether this is the end of a run that was never above its base.
        samples: of the training split.
    """

    step: int = 0
    warmup: int = 0
    rate: float = 0.0
    fresh: tuple[str, ...] = ()
    growth: float = 1.0
    losses: tuple[float, float] | None = None
    best: float | None = None
    worse: bool = False
    ends: bool = False
    samples: Any = ()


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
            return Cause(look.__name__.strip("_"), f"likely cause: {text}")
    return None


def is_bad(hmean, course):
    """Whether a score asks for an explanation; that of a run on its way does not."""
    best = course.best or 0.0
    fell = best > 2 * NEARLY_NONE and hmean < FELL * best
    finds_nothing = hmean == 0 or (course.step == 0 and hmean < POOR)
    return finds_nothing or fell or course.worse or course.ends


def _labels_ignored(case):
    metrics = case.metrics
    if metrics["boxes_labelled"]:
        return ""
    ignored = metrics["boxes_ignored"]
    if not ignored:
        return (
            "the validation labels hold no word at all, so nothing can be found right; name "
            "labelled images with data.val"
        )
    return (
        f"all {ignored} words of the validation labels are ignored, since their text is `*` or "
        "`###`, so nothing can be found right; write any other text for words that count"
    )


def _unreadable_images(case):
    lost, images = case.metrics["unreadable"], case.metrics["images"]
    if 2 * lost < images:
        return ""
    reason = next((outcome.reason for outcome in case.outcomes if outcome.reason), "")
    return f"{lost} of {images} validation images could not be read or run, such as {reason}"


def _labels_misplaced(case):
    if case.metrics["hmean"] > 0.3:
        return ""
    found = find_misplaced(case.outcomes)
    if found is None:
        return ""
    return (
        "the validation labels were made on pictures of another size, turn or cut: of "
        f"{found.total} labels {found.fit} lie on a found box when {found.how}, and {found.before} "
        "as they are; label the pictures as they lie in data.root, or bring these to the size of "
        "the labels"
    )


def _rate_too_high(case):
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
        f"to {course.growth:.2g} times their size{loss}, and {_describe_maps(case)}; begin anew "
        f"with {min(course.rate / 10, USUAL_RATE):g} or less"
    )


def _text_too_small(case):
    heights = measure_words(case.outcomes).network_height
    heights = heights[np.isfinite(heights)]
    if not heights.size or np.median(heights) >= SMALL:
        return ""
    middle = float(np.median(heights))
    side = case.config.eval.limit_side
    return (
        f"the text is too small for the network's scale: half of the {heights.size} labelled words "
        f"are below {middle:.1f} pixels in height there, and it finds text from about {SMALL} on; "
        f"raise eval.limit_side={side} to about {_to_32(side * 1.5 * SMALL / max(middle, 1))} and "
        "crop with it, or cut the pictures into larger views"
    )


def _crops_too_small(case):
    course, config = case.course, case.config
    if not (course.step and course.samples):
        return ""
    words = measure_crops(course.samples, config)
    seen = measure_words(case.outcomes).network_height
    seen = float(np.median(seen[np.isfinite(seen)])) if np.isfinite(seen).any() else math.nan
    if not words.count or not (words.lost >= 0.5 or words.height < 0.5 * seen):
        return ""
    crop = config.crop
    more = _to_32(crop * max(2.0, min(seen / max(words.height, 1), 30)))
    return (
        f"the crops of {crop} pixels are too small: in them words are {words.height:.1f} pixels "
        f"high (median) and {words.lost:.0%} are lost below data.targets.min_text_size="
        f"{config.data.targets.min_text_size}, while in the validation images they are "
        f"{seen:.1f}; take crop={min(more, 960)} or so"
    )


def _fresh_values(case):
    course = case.course
    if not course.fresh or case.metrics["hmean"] >= NEARLY_NONE:
        return ""
    besides = _crops_too_small(case)
    return (
        f"{_list(course.fresh)} began from fresh values {_ago(course.step)}, so "
        f"{_describe_maps(case)}: to learn to find text takes thousands of updates, and a whole "
        "detector in init_from, such as the published student, finds some at once"
    ) + (f"; besides, {besides}" if besides else "")


def _kind_of_boxes(case):
    if case.metrics["hmean"] > 0.3 or not case.metrics["boxes_found"]:
        return ""
    merged, split, labels = _count_kinds(case.outcomes)
    if max(merged, split) < max(6, 0.3 * labels):
        return ""
    if merged >= split:
        return (
            f"{merged} of {labels} labelled words lie two or more to one found box: the network "
            "finds lines and the labels are words; label lines, or train on words for longer"
        )
    return (
        f"{split} of {labels} labels hold two or more found boxes each: the network finds words "
        "and the labels are lines; label words, or train on lines for longer"
    )


def _maps_empty(case):
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


def _maps_full(case):
    if case.metrics["map_mean"] < 0.5:
        return ""
    return (
        f"{_describe_maps(case)}: text is seen everywhere, as by weights that have learned nothing "
        "yet or that too high a rate has ruined"
    )


def _warm_up(case):
    course = case.course
    if not (course.ends and course.warmup >= course.step > 0):
        return ""
    return (
        f"the rate was still rising when the run ended: the warm-up takes {course.warmup} updates "
        f"(warmup_epochs={case.config.warmup_epochs:g}) and the run had {course.step}; train for "
        "longer, or shorten the warm-up"
    )


def _learned_by_heart(case):
    course = case.course
    if not (course.worse and course.losses and course.losses[1] < 0.9 * course.losses[0]):
        return ""
    first, last = course.losses
    return (
        f"the training loss fell from {first:.3g} to {last:.3g} while other images got worse: the "
        f"{len(course.samples)} training images are learned by heart, or are of another kind than "
        "the validation images; take more images, fewer updates or a lower rate"
    )


def _too_few_images(case):
    course = case.course
    if not course.ends or course.worse:
        return ""
    return (
        f"no difference to the base is more than chance with {case.metrics['images']} validation "
        "images: more of them would show smaller gains, more updates or training images make "
        "larger ones"
    )


def _rate_or_data(case):
    course = case.course
    if not (course.worse or course.best is not None and course.step):
        return ""
    return (
        f"the learning rate {course.rate:g} moves weights that were better before too far; lower "
        "it, and compare the training labels with what the base finds"
    )


CAUSES = (
    _labels_ignored,
    _unreadable_images,
    _labels_misplaced,
    _rate_too_high,
    _text_too_small,
    _fresh_values,
    _crops_too_small,
    _kind_of_boxes,
    _maps_empty,
    _maps_full,
    _warm_up,
    _learned_by_heart,
    _too_few_images,
    _rate_or_data,
)


def _describe_maps(case):
    """What the maps look like, as a half sentence."""
    metrics, thresh = case.metrics, case.config.postprocess.thresh
    if metrics["map_max"] <= thresh:
        return f"nothing in the maps is above the threshold {thresh:g}"
    if metrics["map_mean"] > max(thresh, 0.5):
        return f"nearly all of the maps is above the threshold {thresh:g}"
    if not metrics["boxes_found"]:
        return f"no region of the maps reaches {case.config.postprocess.box_thresh:g}"
    return f"{metrics['boxes_matched']} of {metrics['boxes_found']} found boxes are words"


def _count_kinds(outcomes):
    """`(labels that share a found box, labels that hold several found boxes, labels)`."""
    merged = split = labels = 0
    for outcome in outcomes:
        truth = [p for p, ignored in zip(outcome.sample.polygons, outcome.sample.ignore,
                                         strict=True) if not ignored]  # fmt: skip
        labels += len(truth)
        if not (truth and len(outcome.polygons)):
            continue
        inside = _share_inside(truth, outcome.polygons) > 0.7
        shared = inside.sum(0) >= 2
        merged += int(inside[:, shared].any(1).sum())
        held = _share_inside(outcome.polygons, truth) > 0.7
        split += int((held.sum(0) >= 2).sum())
    return merged, split, labels


def _share_inside(inner, outer):
    """Share of each upright box of `inner` `[N]` that lies in each of `outer` `[M]`: `[N, M]`."""
    a, b = (np.array([(*np.min(p, 0), *np.max(p, 0)) for p in boxes], float)
            for boxes in (inner, outer))  # fmt: skip
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    common = np.maximum(np.minimum(a[:, None, 2:], b[None, :, 2:]) - low, 0).prod(-1)
    return common / np.maximum((a[:, 2:] - a[:, :2]).prod(-1), 1e-9)[:, None]


def _ago(step):
    return "and no update was made yet" if not step else f"{step} update{'s' * (step > 1)} ago"


def _list(names):
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _to_32(value):
    return max(32, round(value / 32) * 32)
