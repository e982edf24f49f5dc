"""Systematic differences between detections and labels: lines or words, tight or loose, shifted.

A base was trained with other labelling rules than the user's. Fine-tuning has to change its habits
with a few images, or the user may rather adopt them. The differences are reported before training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import shapely
from jaxtyping import Int

from ppocr_jax.data.polygons import measure
from ppocr_jax.scoring.alignment import Item, Move, find_move
from ppocr_jax.scoring.evaluation import Outcome
from ppocr_jax.scoring.metrics import Polygon, Shapes

INSIDE = 0.6  # share of a polygon's area from which on it lies in another one
MANY = 0.1  # share of the labels that makes a habit
ALIKE = 0.12  # difference of log height or log width that is not worth a word: about 12 %
IN_PLACE = 0.15  # offset of a box that is not worth a word, in heights of its label


class Differences(NamedTuple):
    """Counts and medians over images; see `compare`.

    Attributes:
        labels, boxes: those that count.
        joined_labels, joined_boxes: labels that share a box with others, and those boxes.
        cut_labels, cut_boxes: labels that hold several boxes, and those boxes.
        pairs: pairs of one label and one box that belong together.
        height, width: of a box relative to its label, medians over pairs; NaN without pairs.
        right, down: offset of a box from its label in label heights, medians over pairs.
        apart_labels, apart_boxes: those that intersect nothing of the other kind.
        move: the transform that makes the labels fit, or None.
    """

    labels: int
    boxes: int
    joined_labels: int
    joined_boxes: int
    cut_labels: int
    cut_boxes: int
    pairs: int
    height: float
    width: float
    right: float
    down: float
    apart_labels: int
    apart_boxes: int
    move: Move | None


def compare(outcomes: Sequence[Outcome]) -> Differences:
    """Compares detections with labels over a split.

    Ignored labels and the boxes in them are left out. Where one transform makes the labels fit,
    they are compared after it.
    """
    items = [_counting(outcome) for outcome in outcomes]
    move = find_move(items)
    counts, ratios = np.zeros(8, int), []
    for labels, boxes, size in items:
        labels = [move.apply(label, size) for label in labels] if move else labels
        numbers, pairs = _relate(labels, boxes)
        counts += numbers
        ratios += [_ratios(labels[row], boxes[column]) for row, column in pairs]
    medians = np.median(ratios, axis=0) if ratios else np.full(4, np.nan)
    fields = [*counts[:6].tolist(), len(ratios), *medians.tolist(), *counts[6:].tolist(), move]
    return Differences._make(fields)


def _counting(outcome: Outcome) -> Item:
    """The labels and boxes of an image that are not ignored and do not cross themselves."""
    labels = zip(outcome.sample.polygons, outcome.matches.truth, strict=True)
    boxes = zip(outcome.polygons, outcome.matches.found, strict=True)
    return Item(
        [polygon for polygon, status in labels if status in ("matched", "missed")],
        [np.asarray(box, np.float32) for box, status in boxes if status in ("matched", "false")],
        outcome.size,
    )


def _relate(
    labels: Sequence[Polygon], boxes: Sequence[Polygon]
) -> tuple[Int[np.ndarray, " 8"], list[tuple[int, int]]]:
    """How the labels and boxes of one image overlap.

    Returns:
        `(counts, pairs)`: numbers of labels, boxes, joined labels and boxes, cut labels and boxes,
        labels and boxes apart, as `Differences` names them; and `(label, box)` indices that belong
        together.
    """
    one, other = (_shapes(polygons) for polygons in (labels, boxes))
    rows, columns = shapely.STRtree(other).query(one, predicate="intersects")
    common = np.zeros((len(one), len(other)))
    common[rows, columns] = shapely.area(shapely.intersection(one[rows], other[columns]))
    in_box = common > INSIDE * np.maximum(shapely.area(one), 1e-6)[:, None]  # [labels, boxes]
    in_label = common > INSIDE * np.maximum(shapely.area(other), 1e-6)[None, :]
    joins, cuts = in_box.sum(0) > 1, in_label.sum(1) > 1  # boxes over labels, labels over boxes
    joined, cut = in_box[:, joins].any(1), in_label[cuts].any(0)
    touch = common > 0
    # A pair: each is the other's largest overlap, and neither takes part in a join or a cut.
    pairs = [
        (row, int(column))
        for row, column in enumerate(common.argmax(1) if common.size else [])
        if touch[row, column]
        and common[:, column].argmax() == row
        and not (joined[row] or cuts[row] or joins[column] or cut[column])
    ]
    numbers = [
        len(labels), len(boxes), joined.sum(), joins.sum(), cuts.sum(), cut.sum(),
        (~touch.any(1)).sum(), (~touch.any(0)).sum(),
    ]  # fmt: skip
    return np.array(numbers, int), pairs


def _shapes(polygons: Sequence[Polygon]) -> Shapes:
    """Shapely polygons, made valid where they cross themselves."""
    shapes = [shapely.Polygon(np.asarray(polygon, np.float64)) for polygon in polygons]
    return np.array([shape if shape.is_valid else shape.buffer(0) for shape in shapes], object)


def _ratios(label: Polygon, box: Polygon) -> tuple[float, float, float, float]:
    """Height and width of a box relative to its label, and its offset in label heights."""
    true, found = measure(label), measure(box)
    middle = shapely.Polygon(box).centroid, shapely.Polygon(label).centroid
    height = max(true.height, 1e-6)
    right, down = (getattr(middle[0], axis) - getattr(middle[1], axis) for axis in "xy")
    return found.height / height, found.width / max(true.width, 1e-6), right / height, down / height


def explain(differences: Differences) -> Iterator[str]:
    """The differences in sentences, each with its numbers."""
    d = differences
    if not d.labels or not d.boxes:
        yield f"There is nothing to compare: {d.labels} labels that count, {d.boxes} boxes found."
        return
    if d.move:
        yield (
            f"The labels fit the boxes when they are {d.move.name}: {d.move.after} of "
            f"{d.move.total} then, {d.move.before} as they are. They seem to belong to other "
            "pictures: resized, cropped or rotated ones (by EXIF). The rest of this text is about "
            "the labels after this transform."
        )
    yield _granularity(d)
    if d.pairs:
        yield _tightness(d)
        yield _place(d)
    yield (
        f"{d.apart_labels} of {d.labels} labels touch no box: text that the base does not see. "
        f"{d.apart_boxes} of {d.boxes} boxes touch no label: text that nobody has labelled, or "
        "no text."
    )


def _granularity(d: Differences) -> str:
    """Whether labels and boxes are words or lines."""
    joined, cut = d.joined_labels / d.labels, d.cut_labels / d.labels
    if d.pairs / d.labels + joined + cut < MANY:
        return f"Hardly any label meets a box: {d.labels - d.apart_labels} of {d.labels} touch one."
    if joined > MANY and joined >= cut:
        return (
            f"Lines against words: {d.joined_labels} of {d.labels} labels lie with others in one "
            f"box, {d.joined_labels / d.joined_boxes:.1f} in each of {d.joined_boxes} boxes. The "
            "base draws longer pieces than the labels."
        )
    if cut > MANY:
        return (
            f"Words against lines: {d.cut_labels} of {d.labels} labels hold several boxes, "
            f"{d.cut_boxes / d.cut_labels:.1f} each. The labels are longer pieces than the base "
            "draws."
        )
    return (
        f"Labels and boxes are pieces of one kind: {d.joined_labels} of {d.labels} labels share a "
        f"box with others, {d.cut_labels} hold several boxes."
    )


def _tightness(d: Differences) -> str:
    """Whether boxes are larger or smaller than labels."""
    numbers = (
        f"a box is {d.height:.2f} times as high and {d.width:.2f} times as wide as its label "
        f"(medians of {d.pairs} pairs)"
    )
    if abs(np.log(d.height)) < ALIKE and abs(np.log(d.width)) < ALIKE:
        return f"As tight as the labels: {numbers}."
    looser = np.log(d.height) + np.log(d.width) > 0
    return f"{'Loose against tight' if looser else 'Tight against loose'}: {numbers}."


def _place(d: Differences) -> str:
    """Whether boxes lie beside their labels."""
    numbers = (
        f"a box lies {d.right:+.2f} label heights to the right and {d.down:+.2f} down (medians)"
    )
    off = max(abs(d.right), abs(d.down)) > IN_PLACE
    return f"Shifted: {numbers}." if off else f"In place: {numbers}."
