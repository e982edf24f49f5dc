"""Causes of a bad score in the labels and images: ignored, misplaced or small words, other units.

Each function checks a `case.Case` for one cause. It returns the sentence for the user, or "" where
it is not the cause.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ppocr_jax.data.frames import Extents, guess_frame
from ppocr_jax.data.image_files import is_turned
from ppocr_jax.data.resize import SMALL_TEXT
from ppocr_jax.data.words_in_crops import measure_crops
from ppocr_jax.scoring.breakdown import measure_words
from ppocr_jax.scoring.case import Case, to_32
from ppocr_jax.scoring.evaluation import Outcome
from ppocr_jax.scoring.metrics import Polygon
from ppocr_jax.scoring.misplaced import find_misplaced

FITS = 0.3  # hmean above which labels and boxes fit too well to be of another place or kind
INSIDE = 0.7  # share of a box's area from which on it lies in another one
SEVERAL = 6  # labels of another kind that are more than an accident, and
SHARE = 0.3  # their share of all labels


def labels_ignored(case: Case) -> str:
    """The validation set has no word that counts."""
    metrics = case.metrics
    if metrics["boxes_labelled"]:
        return ""
    ignored = metrics["boxes_ignored"]
    if not ignored:
        return (
            "the validation labels hold no word at all, so no box can be right; set data.val to a "
            "label file with words"
        )
    return (
        f"all {ignored} words in the validation labels are ignored, since their text is `*` or "
        "`###`, so no box can be right; give words that count any other text"
    )


def unreadable_images(case: Case) -> str:
    """Half of the validation images or more could not be scored."""
    lost, images = case.metrics["unreadable"], case.metrics["images"]
    if 2 * lost < images:
        return ""
    reason = next((outcome.reason for outcome in case.outcomes if outcome.reason), "")
    return f"{lost} of {images} validation images could not be read or run, such as {reason}"


def labels_misplaced(case: Case) -> str:
    """The validation labels were made for other images: resized, rotated or cropped ones."""
    if case.metrics["hmean"] > FITS:
        return ""
    found = find_misplaced(case.outcomes)
    if found is None:
        return _labels_off_pictures(case)
    return (
        "the validation labels were made on images of another size, rotation or crop: when "
        f"{found.how}, {found.fit} of {found.total} labels lie on a found box, as they are "
        f"{found.before}; label the images as they are in data.root, or resize these to the size "
        "of the labels"
    )


def _labels_off_pictures(case: Case) -> str:
    """The same from the labels alone, where too few boxes were found to compare with."""
    guess = guess_frame(
        Extents.of_pictures(
            (o.sample.polygons, o.size, is_turned(o.sample.image_path))
            for o in case.outcomes
            if not o.reason
        )
    )
    return guess and (
        f"the validation labels do not fit their images: {guess}; label the images as they are in "
        "data.root, or resize these to the size of the labels"
    )


def training_labels_misplaced(case: Case) -> str:
    """The training labels were made for other images."""
    course = case.course
    if not (course.step and course.misfit):
        return ""
    return (
        f"the network learned from labels that do not fit their images: {course.misfit}; label "
        "the training images as they are in data.root, or resize these to the size of the labels"
    )


def text_too_small(case: Case) -> str:
    """At the network's scale, most words are smaller than what these detectors find."""
    heights = measure_words(case.outcomes).network_height
    heights = heights[np.isfinite(heights)]
    if not heights.size or np.median(heights) >= SMALL_TEXT:
        return ""
    middle = float(np.median(heights))
    side = case.config.eval.limit_side
    # The median word then has one and a half times the smallest height that is found.
    larger = to_32(side * 1.5 * SMALL_TEXT / max(middle, 1))
    return (
        f"the text is too small at the network's scale: half of the {heights.size} labelled words "
        f"are less than {middle:.1f} pixels high there, and the network finds text from about "
        f"{SMALL_TEXT} pixels on; raise eval.limit_side={side} to about {larger} and crop with it, "
        "or cut the images into larger views"
    )


def crops_too_small(case: Case) -> str:
    """Words in training crops are lost, or much smaller than in validation images."""
    course, config = case.course, case.config
    if not (course.step and course.samples):
        return ""
    words = measure_crops(course.samples, config)
    heights = measure_words(case.outcomes).network_height
    heights = heights[np.isfinite(heights)]
    seen = float(np.median(heights)) if heights.size else math.nan
    # `seen` may be NaN, when nothing is known of the validation images: then only `lost` counts.
    if not words.count or not (words.lost >= 0.5 or words.height < 0.5 * seen):
        return ""
    crop = config.crop
    more = to_32(crop * max(2.0, min(seen / max(words.height, 1), 30)))
    return (
        f"the crops of {crop} pixels are too small: words in them are {words.height:.1f} pixels "
        f"high (median), and {words.lost:.0%} are dropped below data.targets.min_text_size="
        f"{config.data.targets.min_text_size}, while in the validation images they are "
        f"{seen:.1f} pixels high; set crop to about {min(more, 960)}"
    )


def kind_of_boxes(case: Case) -> str:
    """The network finds lines where the labels are words, or the other way round."""
    if case.metrics["hmean"] > FITS or not case.metrics["boxes_found"]:
        return ""
    merged, split, labels = _count_kinds(case.outcomes)
    if max(merged, split) < max(SEVERAL, SHARE * labels):
        return ""
    if merged >= split:
        return (
            f"{merged} of {labels} labelled words share a found box with others: the network finds "
            "lines and the labels are words; label lines, or train on words for longer"
        )
    return (
        f"{split} of {labels} labels hold two or more found boxes each: the network finds words "
        "and the labels are lines; label words, or train on lines for longer"
    )


def _count_kinds(outcomes: Sequence[Outcome]) -> tuple[int, int, int]:
    """`(labels that share a found box, labels that hold several found boxes, all labels)`."""
    merged = split = labels = 0
    for outcome in outcomes:
        truth = [p for p, ignored in zip(outcome.sample.polygons, outcome.sample.ignore,
                                         strict=True) if not ignored]  # fmt: skip
        labels += len(truth)
        if not (truth and len(outcome.polygons)):
            continue
        inside = _share_inside(truth, outcome.polygons) > INSIDE
        shared = inside.sum(0) >= 2
        merged += int(inside[:, shared].any(1).sum())
        held = _share_inside(outcome.polygons, truth) > INSIDE
        split += int((held.sum(0) >= 2).sum())
    return merged, split, labels


def _share_inside(inner: Sequence[Polygon], outer: Sequence[Polygon]) -> Float[np.ndarray, "N M"]:
    """Share of each inner polygon's area inside each outer one, by their upright bounding boxes.

    Bounding boxes are exact enough for a habit of many labels, and need no polygon clipping.
    """
    a, b = (np.array([(*np.min(p, 0), *np.max(p, 0)) for p in boxes], float)
            for boxes in (inner, outer))  # fmt: skip
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    common = np.maximum(np.minimum(a[:, None, 2:], b[None, :, 2:]) - low, 0).prod(-1)
    return common / np.maximum((a[:, 2:] - a[:, :2]).prod(-1), 1e-9)[:, None]
