"""The target maps pixel by pixel, from distances instead of Clipper and OpenCV.

A polygon shrunk by D holds the pixels inside that are at least D away from its outline; one grown
by D those that are at most D away. Clipper rounds what it gives to whole pixels and OpenCV draws
outlines too, so that nobody can say which side a pixel near such a border falls on: where it is
nearer than `DOUBT`, `sure` is 0, and nothing is compared.
"""

import numpy as np
from plain_geometry import (
    area,
    components,
    contains,
    edges,
    perimeter,
    to_outline,
    to_segment,
    truncated,
)

DOUBT = 1.6  # pixels
FINE = 4  # cells per pixel where pieces are counted


def reach(points, ratio):
    """D = A (1 - r^2) / L."""
    return abs(area(points)) * (1 - ratio**2) / perimeter(points)


def shrink(polygons, ignore, height, width, ratio=0.4, min_size=8):
    """`{"shrink_map", "shrink_mask", "sure"}`, each `[H, W]`, 0 or 1."""
    grid = np.mgrid[:height, :width][::-1].astype(np.float64)
    shrink_map, mask, sure = (np.full((height, width), v, bool) for v in (0, 1, 1))
    for points, ignored in zip(polygons, ignore, strict=True):
        points = [(min(max(x, 0), width - 1), min(max(y, 0), height - 1)) for x, y in points]
        xs, ys = zip(*points, strict=True)
        small = min(max(xs) - min(xs), max(ys) - min(ys)) < min_size
        whole = truncated(points)
        distance = None if ignored or small or abs(area(points)) < 1 else _first_whole(points)
        away, inside = to_outline(grid, whole), contains(whole, grid)
        if distance is None:
            mask &= ~inside
            sure &= away > DOUBT
        else:
            shrink_map |= inside & (away >= distance)
            sure &= ~inside | (abs(away - distance) > DOUBT)
    return {"shrink_map": shrink_map, "shrink_mask": mask, "sure": sure}


def _first_whole(points):
    """D of the first ratio that leaves one piece, or that of the last ratio, if any is left."""
    whole = truncated(points)
    for ratio in (0.4, 0.8):
        distance, pieces = reach(points, ratio), 0
        xs, ys = zip(*whole, strict=True)
        cells = np.mgrid[: max(ys) * FINE, : max(xs) * FINE][::-1] / FINE
        left = contains(whole, cells) & (to_outline(cells, whole) > distance)
        pieces = len(components({(int(x), int(y)) for y, x in np.argwhere(left)}))
        if pieces == 1:
            break
    return distance if pieces else None


def threshold(polygons, ignore, height, width, ratio=0.4, low=0.3, high=0.7):
    """`{"threshold_map", "threshold_mask", "sure", "mask_sure"}`, each `[H, W]`."""
    grid, canvas = np.mgrid[:height, :width][::-1].astype(np.float64), np.zeros((height, width))
    mask, sure, mask_sure = (np.full((height, width), v, bool) for v in (0, 1, 1))
    x, y = grid
    for points, ignored in zip(polygons, ignore, strict=True):
        if ignored:
            continue
        distance, whole = reach(points, ratio), truncated(points)
        xs, ys = zip(*whole, strict=True)
        away, inside = to_outline(grid, whole), contains(whole, grid)
        mask |= inside | (away <= distance)
        mask_sure &= inside | (abs(away - distance) > DOUBT)
        nearest = np.min([_to_edge(grid, *edge) for edge in edges(points)], axis=0)
        beside = np.max([min(xs) - x, x - max(xs), min(ys) - y, y - max(ys)], axis=0)
        looked_at = beside <= distance  # the original goes no further
        canvas = np.maximum(canvas, looked_at * np.maximum(1 - nearest / distance, 0))
        # At the end of where it looks a pixel may be left out, or not; exactly on the line of a
        # slanted edge its rounding can leave a pixel out.
        sure &= (abs(beside - distance) > DOUBT) | (nearest >= distance)
        sure &= nearest > 1e-3
    return {
        "threshold_map": (canvas * (high - low) + low).astype(np.float32),
        "threshold_mask": mask,
        "sure": sure,
        "mask_sure": mask_sure,
    }


def _to_edge(point, start, end):
    """To the nearer end where the pixel sees the edge under an acute angle, else to its line."""
    one, other, length = (
        (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2
        for a, b in ((point, start), (point, end), (start, end))
    )  # squares of whole numbers are exact, so that a right angle is none that is acute
    nearer_end = np.sqrt(np.minimum(one, other))
    return np.where(one + other > length, nearer_end, to_segment(point, start, end))


CASES = {
    "upright": [[(10, 12), (70, 12), (70, 36), (10, 36)]],
    "slanted": [[(12, 30.5), (60.25, 8), (70, 26), (21.5, 50)]],
    "corner": [[(10, 8), (78, 8), (78, 30), (40, 30), (40, 54), (10, 54)]],
    "eight": [[(20, 10), (44, 6), (66, 14), (76, 30), (68, 46), (44, 54), (22, 48), (10, 30)]],
    # Two squares and a bridge: the ratio of 0.4 cuts it in two, that of 0.8 does not.
    "bridge": [[(6, 8), (36, 8), (36, 22), (52, 22), (52, 8), (82, 8), (82, 48), (52, 48),
                (52, 36), (36, 36), (36, 48), (6, 48)]],
    "several": [
        [(-6, 10), (30, 10), (30, 30), (-6, 30)],  # reaches over the left edge
        [(40, 6), (80, 6), (80, 11), (40, 11)],  # lower than 8 pixels
        [(44, 24), (84, 28), (82, 50), (42, 46)],
        [(6, 40), (34, 40), (34, 56), (6, 56)],  # ignored
    ],
}  # fmt: skip
SIZE = (60, 90)  # height and width


def ignored(name):
    return [name == "several" and index == 3 for index in range(len(CASES[name]))]
