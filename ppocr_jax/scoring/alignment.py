"""Labels that would fit the found boxes if they were moved: scaled, shifted or turned.

A base that knows text finds it where it is. Where its boxes and the labels agree only after one and
the same move in all pictures, the labels were made for other pictures: resized, cut or turned ones.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ppocr_jax.scoring.metrics import match_image

MOST_PICTURES = 60  # that are looked at
MOST_POLYGONS = 200  # of each
MOST_SHIFT = 300  # pixels
STEP = 4  # pixels of a shift that are told apart at first; 1 % of a scale
GAIN, LEAST = (
    2.0,
    0.2,
)  # by which a move has to match more labels; share of all that it has to match


class Item(NamedTuple):
    """labels, boxes: polygons `[P, 2]`, those that count; size: (height, width) of the picture."""

    labels: list[np.ndarray]
    boxes: list[np.ndarray]
    size: tuple[int, int]


class Move(NamedTuple):
    """A move of labels: in words, as a function of `(points, size)`, and what it changes.

    Attributes:
        name: such as `scaled by 0.50 x 0.50`.
        apply: `(points [P, 2], (height, width)) -> points`.
        before, after: labels that are matched without and with it.
        total: labels.
    """

    name: str
    apply: Callable[[np.ndarray, tuple[int, int]], np.ndarray]
    before: int = 0
    after: int = 0
    total: int = 0


def _turn_right(points, size):
    return np.stack([size[1] - points[:, 1], points[:, 0]], 1)


def _turn_left(points, size):
    return np.stack([points[:, 1], size[0] - points[:, 0]], 1)


TURNS = (
    Move("turned by 90 degrees clockwise", _turn_right),
    Move("turned by 90 degrees counter-clockwise", _turn_left),
    Move("turned by 180 degrees", lambda points, size: np.array(size[::-1]) - points),
    Move("taken as per cent of the picture", lambda p, size: p * np.array(size[::-1]) / 100),
    Move("taken as shares of the picture", lambda p, size: p * np.array(size[::-1])),
)


def find_move(items):
    """The `Move` with which many more labels fit the boxes, or None.

    Args:
        items: list of `Item`.
    """
    items = [item for item in items if item.labels and item.boxes]
    items = items[:: -(-len(items) // MOST_PICTURES) or 1]
    total = sum(len(item.labels) for item in items)
    before = _count(items, None)
    moves = [*TURNS, _scale(items), _shift(items)] if total else []
    best = None
    for move in filter(None, moves):
        after = _count(items, move)
        if after >= LEAST * total and after > GAIN * before and (not best or after > best.after):
            best = move._replace(before=before, after=after, total=total)
    return best


def _count(items, move):
    """Labels that are matched when they are moved."""
    matched = 0
    for labels, boxes, size in items:
        moved = [move.apply(label, size) if move else label for label in labels]
        moved = [np.asarray(label, np.float32) for label in moved]
        matched += match_image(moved, [False] * len(moved), boxes).matched
    return matched


def _pairs(items):
    """All pairs of a label and a box of a picture: `(label boxes, found boxes)`, `[N, 4]` each.

    A row is (x, y) of the middle, width and height of the box around.
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


def _scale(items):
    """The factor that most pairs agree on, about the upper left corner; None without any.

    A pair has a say where its place in x and y and its height ask for about the same factor.
    """
    labels, boxes = _pairs(items)
    ratio = boxes / labels
    own = np.log(ratio[:, 3])
    fits = (abs(np.log(ratio[:, :2]) - own[:, None]) < 0.25).all(1)
    fits &= abs(np.log(ratio[:, 0] / ratio[:, 1])) < 0.2
    agreed = _agree(np.log(ratio[fits, :2]), 0.01)
    if agreed is None:
        return None
    x, y = np.exp(agreed)
    return Move(f"scaled by {x:.2f} x {y:.2f}", lambda p, size: p * [x, y])


def _shift(items):
    """The shift that most pairs of about the same size agree on; None without any."""
    labels, boxes = _pairs(items)
    alike = (abs(np.log(boxes[:, 2:] / labels[:, 2:])) < 0.5).all(1)
    offsets = (boxes - labels)[alike, :2]
    agreed = _agree(offsets[(abs(offsets) < MOST_SHIFT).all(1)], STEP)
    if agreed is None:
        return None
    x, y = agreed
    return Move(
        f"shifted by {x:.0f} pixels to the right and {y:.0f} down", lambda p, size: p + [x, y]
    )


def _agree(votes, step):
    """The middle of the votes `[N, 2]` in the fullest cell of this side; None without votes."""
    if not len(votes):
        return None
    cells, index, counts = np.unique(
        np.round(votes / step), axis=0, return_inverse=True, return_counts=True
    )
    fullest = cells[np.argmax(counts)] * step
    near = (abs(votes - fullest) <= 1.5 * step).all(1)
    return np.median(votes[near], axis=0)
