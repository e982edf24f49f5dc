"""Checks whether labels would fit the boxes after one rotation, scale or shift of all of them.

Labels made on images of another size, or before an EXIF rotation was applied, match nothing. The
boxes that a network finds show it: pairs of labels and boxes vote for the transform that brings
one onto the other, and the transforms with most votes are tried. Works with upright bounding boxes
and only a few dozen images, since it runs after a bad evaluation, in the middle of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ppocr_jax.scoring.evaluation import Outcome
from ppocr_jax.scoring.metrics import Polygon

IMAGES = 40  # images used: those with most labels
BOXES = 60  # labels and boxes used of an image; the votes are quadratic in it
MIN_IOU = 0.5
ALIKE = np.log(1.35)  # how far the sizes of a pair may differ from the scale of their positions
STEP = np.log(1.08)  # side of a cell in which votes for a scale are counted
TRIED = 5  # candidates tried, of those with most votes
# A transform is believed when at least LEAST labels match, SHARE of those that could, and TIMES as
# many as without it.
LEAST, SHARE, TIMES = 6, 0.3, 3

Boxes = Float[np.ndarray, "_N 4"]  # (left, top, right, bottom) in pixels
Images = Sequence[tuple[Boxes, Boxes]]  # labels and detections of each image


class Misplaced(NamedTuple):
    """The transform that the labels need.

    Attributes:
        how: in words.
        fit, before: how many labels fit a box with it and without it.
        total: number of labels used.
    """

    how: str
    fit: int
    before: int
    total: int


class _Turn(NamedTuple):
    words: str
    apply: Callable[[Any, Any, Any, Any], tuple[Any, Any]]  # x, y, width, height -> x, y


TURNS = (
    _Turn("", lambda x, y, w, h: (x, y)),
    _Turn("turned by 90 degrees to the right", lambda x, y, w, h: (w - y, x)),
    _Turn("turned by 90 degrees to the left", lambda x, y, w, h: (y, h - x)),
    _Turn("turned by 180 degrees", lambda x, y, w, h: (w - x, h - y)),
    _Turn("swapped in x and y", lambda x, y, w, h: (y, x)),
)


def find_misplaced(outcomes: Sequence[Outcome]) -> Misplaced | None:
    """The transform that makes labels fit the boxes; None where there is none to be sure of."""
    images = _take(outcomes)
    total = sum(len(labels) for labels, _, _ in images)
    most = sum(min(len(labels), len(found)) for labels, found, _ in images)
    before = _count([(labels, found) for labels, found, _ in images])
    # Every rotation is combined with the scales and shifts that win the vote after it.
    best = Misplaced("", 0, before, total)
    for turn in TURNS:
        turned = [(_turn(labels, size, turn), found) for labels, found, size in images]
        for words, moved in _candidates(turned):
            how = " and ".join(part for part in (turn.words, words) if part)
            fit = _count(moved)
            if how and fit > best.fit:
                best = best._replace(how=how, fit=fit)
    proved = best.fit >= max(LEAST, SHARE * most, TIMES * before)
    return best if proved else None


def _take(outcomes: Sequence[Outcome]) -> list[tuple[Boxes, Boxes, tuple[int, int]]]:
    """`(labels, detections, (height, width))` of the images with most labels."""
    seen = [o for o in outcomes if o.sample.polygons and len(o.polygons)]
    seen.sort(key=lambda o: -len(o.sample.polygons))
    return [
        (_boxes(o.sample.polygons[:BOXES]), _boxes(o.polygons[:BOXES]), o.size)
        for o in seen[:IMAGES]
    ]


def _boxes(polygons: Sequence[Polygon]) -> Boxes:
    """Upright bounding boxes of polygons."""
    return np.array([(*np.min(p, 0), *np.max(p, 0)) for p in polygons], np.float64)


def _turn(labels: Boxes, size: tuple[int, int], turn: _Turn) -> Boxes:
    """Bounding boxes after a rotation of the image."""
    height, width = size
    x, y = turn.apply(labels[:, 0::2], labels[:, 1::2], width, height)
    return np.stack([x.min(1), y.min(1), x.max(1), y.max(1)], 1)


def _candidates(images: Images) -> Iterator[tuple[str, Images]]:
    """`(words, images)` with the labels as they are, then after each scale and shift to try."""
    yield "", images
    scales, shifts, unit = _votes(images)
    for x, y in _winners(scales, STEP):
        scale = np.exp([x, y, x, y])
        if np.abs([x, y]).max() > STEP:  # below that it is a scale of 1
            words = f"multiplied by {np.exp(x):.2f} in x and {np.exp(y):.2f} in y"
            yield words, [(labels * scale, found) for labels, found in images]
    for x, y in _winners(shifts, unit / 2):
        words = f"shifted by {x:+.0f} pixels in x and {y:+.0f} in y"
        yield words, [(labels + [x, y, x, y], found) for labels, found in images]


def _votes(
    images: Images,
) -> tuple[Float[np.ndarray, "N 2"], Float[np.ndarray, "M 2"], float]:
    """Votes of all pairs that may be the same word.

    A pair votes for a scale where its sizes and its positions ask for about the same factor, and
    for a shift where its sizes agree.

    Returns:
        `(scales, shifts, height)`: logarithms of factors, and pixels, in x and y; the median
        shorter side of the labels in pixels.
    """
    scales, shifts, heights = [np.zeros((0, 2))], [np.zeros((0, 2))], [np.ones(1)]
    for labels, found in images:
        centre_a, centre_b = ((b[:, :2] + b[:, 2:]) / 2 for b in (labels, found))
        side_a, side_b = (np.maximum(b[:, 2:] - b[:, :2], 1) for b in (labels, found))
        sides = np.log(side_b[None] / side_a[:, None])
        places = np.log(np.maximum(centre_b[None], 1) / np.maximum(centre_a[:, None], 1))
        scales.append(places[(np.abs(places - sides) < ALIKE).all(-1)])
        shifts.append((centre_b[None] - centre_a[:, None])[(np.abs(sides) < ALIKE).all(-1)])
        heights.append(side_a.min(1))
    return np.concatenate(scales), np.concatenate(shifts), np.median(np.concatenate(heights))


def _winners(votes: Float[np.ndarray, "N 2"], step: float) -> Iterator[Float[np.ndarray, " 2"]]:
    """The values with most votes, the first first.

    Votes are counted in square cells of side `step`; a value is the median of the votes in a cell
    and its neighbours, since a true value near an edge spreads over both sides.
    """
    if not len(votes):
        return
    cells = np.round(votes / step).astype(int)
    names, counts = np.unique(cells, axis=0, return_counts=True)
    for cell in names[np.argsort(-counts, kind="stable")][:TRIED]:
        yield np.median(votes[(np.abs(cells - cell) <= 1).all(1)], 0)


def _count(images: Images) -> int:
    """Number of labels that overlap a detection with an IoU above the limit."""
    return sum(int((overlap(labels, found) > MIN_IOU).any(1).sum()) for labels, found in images)


def overlap(
    one: Float[np.ndarray, "N 4"], other: Float[np.ndarray, "M 4"]
) -> Float[np.ndarray, "N M"]:
    """IoU of every pair of upright boxes (left, top, right, bottom)."""
    common = np.minimum(one[:, None, 2:], other[None, :, 2:])
    common = np.maximum(common - np.maximum(one[:, None, :2], other[None, :, :2]), 0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (one, other)]
    return common / np.maximum(areas[0][:, None] + areas[1][None] - common, 1e-9)
