"""Whether labels would fit the found boxes if they were turned, scaled or shifted as one.

Labels that were made on pictures of another size, or before an EXIF turn was applied, match
nothing; the boxes that a network finds give them away. Pairs of labels and boxes vote for what
would bring one onto the other, and the votes are tried.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

IMAGES = 40  # that are looked at, those with most labels
BOXES = 60  # of an image
MIN_IOU = 0.5
ALIKE = np.log(1.35)  # by which a pair's sides may differ from the scale of its place
STEP = np.log(1.08)  # of the votes for a scale
TRIED = 5  # votes that are tried
LEAST, SHARE, TIMES = 6, 0.3, 3  # matches that prove it: number, share, and more than as they are


class Misplaced(NamedTuple):
    """What the labels lack.

    Attributes:
        how: in words, what brings them onto the boxes.
        fit, before: how many labels fit a box then, and as they are.
        total: labels that were looked at.
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
    _Turn("given x and y in the other order", lambda x, y, w, h: (y, x)),
)


def find_misplaced(outcomes):
    """`Misplaced` where that explains why labels and boxes do not meet; else None.

    Args:
        outcomes: `evaluation.Outcome`s with boxes found.
    """
    images = _take(outcomes)
    total = sum(len(labels) for labels, _, _ in images)
    most = sum(min(len(labels), len(found)) for labels, found, _ in images)
    before = _count([(labels, found) for labels, found, _ in images])
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


def _take(outcomes):
    """`(labels [L, 4], found [F, 4], (height, width))` of the images that say most."""
    seen = [o for o in outcomes if o.sample.polygons and len(o.polygons)]
    seen.sort(key=lambda o: -len(o.sample.polygons))
    return [
        (_boxes(o.sample.polygons[:BOXES]), _boxes(o.polygons[:BOXES]), o.size)
        for o in seen[:IMAGES]
    ]


def _boxes(polygons):
    """Upright boxes (left, top, right, bottom) around polygons, float64 `[N, 4]`."""
    return np.array([(*np.min(p, 0), *np.max(p, 0)) for p in polygons], np.float64)


def _turn(labels, size, turn):
    height, width = size
    x, y = turn.apply(labels[:, 0::2], labels[:, 1::2], width, height)
    return np.stack([x.min(1), y.min(1), x.max(1), y.max(1)], 1)


def _candidates(images):
    """`(words, images)` with the labels as they are, and moved as the pairs vote."""
    yield "", images
    scales, shifts, unit = _votes(images)
    for x, y in _winners(scales, STEP):
        scale = np.exp([x, y, x, y])
        if np.abs([x, y]).max() > STEP:
            words = f"multiplied by {np.exp(x):.2f} in x and {np.exp(y):.2f} in y"
            yield words, [(labels * scale, found) for labels, found in images]
    for x, y in _winners(shifts, unit / 2):
        words = f"shifted by {x:+.0f} pixels in x and {y:+.0f} in y"
        yield words, [(labels + [x, y, x, y], found) for labels, found in images]


def _votes(images):
    """Scales (as logarithms) and shifts, `[N, 2]` each, of pairs that may be the same word.

    Also the height of a usual label, in pixels.
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
    return *(np.concatenate(votes) for votes in (scales, shifts)), np.median(
        np.concatenate(heights)
    )


def _winners(votes, step):
    """The middles of the fullest cells of a grid, the fullest first."""
    if not len(votes):
        return
    cells = np.round(votes / step).astype(int)
    names, counts = np.unique(cells, axis=0, return_counts=True)
    for cell in names[np.argsort(-counts, kind="stable")][:TRIED]:
        yield np.median(votes[(np.abs(cells - cell) <= 1).all(1)], 0)


def _count(images):
    """Labels that a found box covers with an IoU above the limit."""
    return sum(int((overlap(labels, found) > MIN_IOU).any(1).sum()) for labels, found in images)


def overlap(one, other):
    """IoU of upright boxes `[N, 4]` and `[M, 4]`, as `[N, M]`."""
    common = np.minimum(one[:, None, 2:], other[None, :, 2:])
    common = np.maximum(common - np.maximum(one[:, None, :2], other[None, :, :2]), 0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (one, other)]
    return common / np.maximum(areas[0][:, None] + areas[1][None] - common, 1e-9)
