"""Finds the one transform of all labels (scale, shift or turn) that would make them fit the boxes.

A pretrained network finds text where it is. If its boxes and the labels agree only after the same
transform in every image, the labels were made for other images: resized, cropped or rotated ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real

from ppocr_jax.scoring.metrics import Polygon, match_image

MOST_PICTURES = 60  # images used, evenly spaced over the split
MOST_POLYGONS = 200  # of an image; the votes are quadratic in it
MOST_SHIFT = 300  # pixels
STEP = 4  # pixels; side of a cell in which votes for a shift are counted
SCALE_STEP = 0.01  # the same for a scale, in its logarithm: 1 %
# A transform is believed when it matches more than GAIN times as many labels as before, and at
# least the share LEAST of all labels.
GAIN, LEAST = 2.0, 0.2

Size = tuple[int, int]  # (height, width) in pixels


class Item(NamedTuple):
    """The polygons of one image that count.

    Attributes:
        labels, boxes: ground truth and detections, `[P, 2]` each.
        size: (height, width) of the image.
    """

    labels: Sequence[Polygon]
    boxes: Sequence[Polygon]
    size: Size


class Move(NamedTuple):
    """A transform of the labels, and what it changes.

    Attributes:
        name: in words, such as `scaled by 0.50 x 0.50`.
        apply: `(points [P, 2], (height, width)) -> points [P, 2]`.
        before, after: number of matched labels without and with it.
        total: number of labels.
    """

    name: str
    apply: Callable[[Polygon, Size], Polygon]
    before: int = 0
    after: int = 0
    total: int = 0


def _turn_right(points: Polygon, size: Size) -> Polygon:
    return np.stack([size[1] - points[:, 1], points[:, 0]], 1)


def _turn_left(points: Polygon, size: Size) -> Polygon:
    return np.stack([points[:, 1], size[0] - points[:, 0]], 1)


TURNS = (
    Move("turned by 90 degrees clockwise", _turn_right),
    Move("turned by 90 degrees counter-clockwise", _turn_left),
    Move("turned by 180 degrees", lambda points, size: np.array(size[::-1]) - points),
    Move("read as per cent of the picture", lambda p, size: p * np.array(size[::-1]) / 100),
    Move("read as fractions of the picture", lambda p, size: p * np.array(size[::-1])),
)


def find_move(items: Sequence[Item]) -> Move | None:
    """The transform after which many more labels match the boxes; None when there is none."""
    items = [item for item in items if item.labels and item.boxes]
    items = items[:: -(-len(items) // MOST_PICTURES) or 1]
    total = sum(len(item.labels) for item in items)
    before = _count_matched(items, None)
    # Turns are few and are all tried. For scale and shift, the votes of all pairs give one value.
    moves = [*TURNS, _scale(items), _shift(items)] if total else []
    best: Move | None = None
    for move in filter(None, moves):
        after = _count_matched(items, move)
        if after >= LEAST * total and after > GAIN * before and (not best or after > best.after):
            best = move._replace(before=before, after=after, total=total)
    return best


def _count_matched(items: Sequence[Item], move: Move | None) -> int:
    """Number of labels that match a box after a transform."""
    matched = 0
    for labels, boxes, size in items:
        moved = [move.apply(label, size) if move else label for label in labels]
        moved = [np.asarray(label, np.float32) for label in moved]
        matched += match_image(moved, [False] * len(moved), boxes).matched
    return matched


# -- votes -----------------------------------------------------------------------------------------


def _pairs(items: Sequence[Item]) -> tuple[Float[np.ndarray, "N 4"], Float[np.ndarray, "N 4"]]:
    """Every pair of a label and a box of the same image: `(labels, boxes)`.

    Nobody knows yet which box belongs to which label. Wrong pairs vote for arbitrary transforms,
    right ones all for the same.

    Returns:
        A row is (x, y) of the centre, width and height of the upright bounding box, at least 0.001.
    """
    labels, boxes = [np.zeros((0, 4))], [np.zeros((0, 4))]
    for item in items:
        one, other = (
            np.array([[*(p.min(0) + p.max(0)) / 2, *np.ptp(p, 0)] for p in some[:MOST_POLYGONS]])
            for some in (item.labels, item.boxes)
        )
        labels.append(np.repeat(one, len(other), 0))
        boxes.append(np.tile(other, (len(one), 1)))
    return np.maximum(np.concatenate(labels), 1e-3), np.maximum(np.concatenate(boxes), 1e-3)


def _scale(items: Sequence[Item]) -> Move | None:
    """The scale about the upper left corner that most pairs vote for; None without votes.

    A pair votes when its position in x, in y and its height ask for about the same factor. Widths
    are left out: a label may be a word where the box is a line.
    """
    labels, boxes = _pairs(items)
    ratio = boxes / labels
    own = np.log(ratio[:, 3])
    fits = (abs(np.log(ratio[:, :2]) - own[:, None]) < 0.25).all(1)
    fits &= abs(np.log(ratio[:, 0] / ratio[:, 1])) < 0.2
    agreed = _mode(np.log(ratio[fits, :2]), SCALE_STEP)  # a scale is uniform in its logarithm
    if agreed is None:
        return None
    x, y = np.exp(agreed)
    return Move(f"scaled by {x:.2f} x {y:.2f}", lambda p, size: p * [x, y])


def _shift(items: Sequence[Item]) -> Move | None:
    """The shift that most pairs of about the same size vote for; None without votes."""
    labels, boxes = _pairs(items)
    alike = (abs(np.log(boxes[:, 2:] / labels[:, 2:])) < 0.5).all(1)
    offsets = (boxes - labels)[alike, :2]
    agreed = _mode(offsets[(abs(offsets) < MOST_SHIFT).all(1)], STEP)
    if agreed is None:
        return None
    x, y = agreed
    return Move(
        f"shifted by {x:.0f} pixels to the right and {y:.0f} down", lambda p, size: p + [x, y]
    )


def _mode(votes: Real[np.ndarray, "N 2"], step: float) -> Float[np.ndarray, " 2"] | None:
    """The value that most votes agree on; None without votes.

    Votes are counted in square cells of side `step`. The result is the median of the votes in the
    fullest cell and its neighbours, which is finer than the cells.
    """
    if not len(votes):
        return None
    cells, counts = np.unique(np.round(votes / step), axis=0, return_counts=True)
    fullest = cells[np.argmax(counts)] * step
    near = (abs(votes - fullest) <= 1.5 * step).all(1)
    return np.median(votes[near], axis=0)
