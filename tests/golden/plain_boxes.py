"""Maps to boxes in plain Python: groups of pixels, hulls and rectangles instead of OpenCV.

The distance that a box grows by comes from its area and perimeter; the grown shape is all that is
so near to the box. Its corners are whole numbers before it grows and its outline is afterwards.
"""

import math

import numpy as np
from plain_geometry import (
    area,
    components,
    contains,
    perimeter,
    smallest_rectangle,
    to_outline,
    truncated,
)


def ordered(corners):
    """From the upper one of the two leftmost, clockwise."""
    left, right = sorted(corners)[:2], sorted(corners)[2:]
    (first, fourth), (second, third) = (sorted(pair, key=lambda p: p[1]) for pair in (left, right))
    return [first, second, third, fourth]


def score(shrink_map, box):
    """Mean of the map inside a box whose corners are truncated within its window."""
    height, width = shrink_map.shape
    left = min(max(math.floor(min(x for x, _ in box)), 0), width - 1)
    top = min(max(math.floor(min(y for _, y in box)), 0), height - 1)
    whole = [(int(x - left) + left, int(y - top) + top) for x, y in box]
    grid = np.mgrid[:height, :width][::-1].astype(np.float64)
    return float(shrink_map[contains(whole, grid) | (to_outline(grid, whole) < 0.5)].mean())


def grown(points, distance):
    """Whole numbers on the outline of everything that is so near to a convex polygon."""
    turns = [math.radians(degrees) for degrees in range(360)]
    return [
        (round(x + distance * math.cos(turn)), round(y + distance * math.sin(turn)))
        for x, y in points
        for turn in turns
    ]


def find(shrink_map, size, thresh=0.3, box_thresh=0.6, ratio=1.5):
    """`[(box, score)]` in pixels of an image of `size` (height, width), sorted by corners."""
    height, width = shrink_map.shape
    cells = {(int(x), int(y)) for y, x in np.argwhere(shrink_map > thresh)}
    found = []
    for group in components(cells):
        if len({x for x, _ in group}) < 2 or len({y for _, y in group}) < 2:
            continue  # a line: a rectangle of no height
        corners, side = smallest_rectangle(group)
        box = ordered(corners)
        if side < 3:
            continue
        value = score(shrink_map, box)
        if value < box_thresh:
            continue
        distance = abs(area(box)) * ratio / perimeter(box)
        corners, side = smallest_rectangle(grown(truncated(box), distance))
        if side < 5:
            continue
        box = [
            (min(max(round(x / width * size[1]), 0), size[1]),
             min(max(round(y / height * size[0]), 0), size[0]))
            for x, y in ordered(corners)
        ]  # fmt: skip
        found.append((box, value))
    return sorted(found)


def draw(boxes, height=96, width=160, softness=0.0):
    """A map with rotated boxes `(x, y, half width, half height, degrees, value)`, on a ground."""
    shrink_map, (y, x) = np.full((height, width), 0.05), np.mgrid[:height, :width]
    for x0, y0, half_width, half_height, degrees, value in boxes:
        u, v = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        along, across = (x - x0) * u + (y - y0) * v, (y - y0) * u - (x - x0) * v
        depth = np.minimum(half_width - abs(along), half_height - abs(across))
        shrink_map[depth >= 0] = value - softness / (1 + depth[depth >= 0])
    return shrink_map.astype(np.float32)


CASES = {
    "upright": dict(boxes=[(59.5, 39.5, 39.5, 9.5, 0, 0.9)], size=(192, 320)),
    # Too low a score, a score of exactly the limit, too thin, too thin after it has grown.
    "kept or not": dict(
        boxes=[(40, 20, 30, 6, 0, 0.55), (40, 50, 30, 6, 0, 0.625), (120, 20, 20, 0.5, 0, 0.9),
               (120, 50, 2, 2, 0, 0.9), (120, 75, 20, 5, 0, 0.8)],
        size=(96, 160), box_thresh=0.625, ratio=0.4,
    ),
    "turned": dict(
        boxes=[(45, 45, 34, 8, 25, 0.9), (115, 40, 30, 7, -40, 0.8)], size=(384, 640), softness=0.2,
    ),
    "steep": dict(boxes=[(60, 48, 8, 30, 12, 0.9)], size=(300, 500), ratio=2.0),
    "other thresholds": dict(
        boxes=[(50, 40, 36, 9, 0, 0.45), (110, 70, 30, 9, 0, 0.9)],
        size=(480, 800), thresh=0.2, box_thresh=0.4,
    ),
    "over the edge": dict(boxes=[(6, 8, 22, 7, 0, 0.9), (150, 90, 30, 8, 0, 0.9)], size=(97, 161)),
}  # fmt: skip
