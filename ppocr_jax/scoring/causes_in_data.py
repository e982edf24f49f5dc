"""Causes of a bad score that lie in labels and pictures: ignored, misplaced, small, other kinds.

Each takes a `case.Case` and gives half a sentence, or "" where it is not the cause.
"""

import math

import numpy as np

from ppocr_jax.data.frames import Extents, guess_frame
from ppocr_jax.data.image_files import is_turned
from ppocr_jax.data.resize import SMALL_TEXT
from ppocr_jax.data.words_in_crops import measure_crops
from ppocr_jax.scoring.breakdown import measure_words
from ppocr_jax.scoring.case import to_32
from ppocr_jax.scoring.misplaced import find_misplaced


def labels_ignored(case):
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


def unreadable_images(case):
    lost, images = case.metrics["unreadable"], case.metrics["images"]
    if 2 * lost < images:
        return ""
    reason = next((outcome.reason for outcome in case.outcomes if outcome.reason), "")
    return f"{lost} of {images} validation images could not be read or run, such as {reason}"


def labels_misplaced(case):
    if case.metrics["hmean"] > 0.3:
        return ""
    found = find_misplaced(case.outcomes)
    if found is None:
        return _labels_off_pictures(case)
    return (
        "the validation labels were made on pictures of another size, turn or cut: of "
        f"{found.total} labels {found.fit} lie on a found box when {found.how}, and {found.before} "
        "as they are; label the pictures as they lie in data.root, or bring these to the size of "
        "the labels"
    )


def _labels_off_pictures(case):
    """The same by the labels alone, where too few boxes are found to tell."""
    guess = guess_frame(
        Extents.of_pictures(
            (o.sample.polygons, o.size, is_turned(o.sample.image_path))
            for o in case.outcomes
            if not o.reason
        )
    )
    return guess and (
        f"the validation labels do not fit their pictures: {guess}; label the pictures as they lie "
        "in data.root, or bring these to the size of the labels"
    )


def training_labels_misplaced(case):
    course = case.course
    if not (course.step and course.misfit):
        return ""
    return (
        f"the network learned from labels that do not fit their pictures: {course.misfit}; label "
        "the training pictures as they lie in data.root, or bring these to the size of the labels"
    )


def text_too_small(case):
    heights = measure_words(case.outcomes).network_height
    heights = heights[np.isfinite(heights)]
    if not heights.size or np.median(heights) >= SMALL_TEXT:
        return ""
    middle = float(np.median(heights))
    side = case.config.eval.limit_side
    larger = to_32(side * 1.5 * SMALL_TEXT / max(middle, 1))
    return (
        f"the text is too small for the network's scale: half of the {heights.size} labelled words "
        f"are below {middle:.1f} pixels in height there, and it finds text from about "
        f"{SMALL_TEXT} on; raise eval.limit_side={side} to about {larger} and crop with it, or cut "
        "the pictures into larger views"
    )


def crops_too_small(case):
    course, config = case.course, case.config
    if not (course.step and course.samples):
        return ""
    words = measure_crops(course.samples, config)
    seen = measure_words(case.outcomes).network_height
    seen = float(np.median(seen[np.isfinite(seen)])) if np.isfinite(seen).any() else math.nan
    if not words.count or not (words.lost >= 0.5 or words.height < 0.5 * seen):
        return ""
    crop = config.crop
    more = to_32(crop * max(2.0, min(seen / max(words.height, 1), 30)))
    return (
        f"the crops of {crop} pixels are too small: in them words are {words.height:.1f} pixels "
        f"high (median) and {words.lost:.0%} are lost below data.targets.min_text_size="
        f"{config.data.targets.min_text_size}, while in the validation images they are "
        f"{seen:.1f}; take crop={min(more, 960)} or so"
    )


def kind_of_boxes(case):
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
