"""What is wrong with a polygon of a label, by itself and in its picture."""

from typing import NamedTuple

import numpy as np
import shapely

SHOWN = 20  # points of a polygon that are written out
SLACK = 1  # pixels that a point may lie off the picture: labels are rounded


class Fault(NamedTuple):
    """reason: in words; kind: what faults that are alike have in common."""

    reason: str
    kind: str


def find_doubtful(counts, points, sizes):
    """Which of many polygons may have a fault; the others have none.

    Args:
        counts: int `[N]`, points of each.
        points: float32 `[sum of counts, 2]`, (x, y) pixels.
        sizes: int `[N, 2]`, (height, width) of each polygon's picture; 0 where that is not known.

    Returns:
        bool `[N]`.
    """
    if not len(counts):
        return np.zeros(0, bool)
    starts = np.cumsum(counts) - counts
    rings = shapely.linearrings(points, indices=np.repeat(np.arange(len(counts)), counts))
    shapes = shapely.polygons(rings)
    whole = shapely.is_valid(shapes) & (shapely.area(shapes) >= 1)
    low, high = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
    over = np.maximum(-low, high - sizes[:, ::-1].astype(np.float32)).max(1)
    return ~whole | (over > SLACK) & (sizes[:, 0] > 0)


def find_fault(polygon, size):
    """The `Fault` of a polygon, or None.

    Args:
        polygon: float32 `[P, 2]`, (x, y) pixels.
        size: (height, width) of its picture; None where that is not known.
    """
    shape = shapely.Polygon(polygon)
    if shape.convex_hull.area < 1 or (shape.is_valid and shape.area < 1):
        return _describe("has no area", polygon)
    if not shape.is_valid:
        bow = ": a bow-tie, two neighbouring points have to change places" * is_bow_tie(polygon)
        return _describe(f"crosses itself{bow}", polygon)
    off = off_picture(polygon, size) if size else 0
    if off <= SLACK:
        return None
    picture = f"the image of {size[1]}x{size[0]} pixels"
    if is_outside(polygon, size):
        return _describe(f"lies outside {picture}", polygon, "lies outside")
    over = f"reaches {off:.0f} pixels over the edge of {picture}"
    return _describe(over, polygon, "reaches over the edge")


def _describe(reason, polygon, kind=""):
    where = np.round(polygon.astype(float), 1).tolist()
    where = where if len(where) <= SHOWN else f"{len(where)} points from {where[0]} on"
    return Fault(f"{reason}: {where}", kind or reason)


def is_bow_tie(polygon):
    """Whether a quad crosses itself and would not with two neighbouring points exchanged."""
    if len(polygon) != 4:
        return False
    orders = ([1, 0, 2, 3], [0, 2, 1, 3])
    return any(shapely.Polygon(polygon[order]).is_valid for order in orders)


def off_picture(polygon, size):
    """Pixels that the furthest point lies off a picture of (height, width); at most 0 inside."""
    low, high = polygon.min(0), polygon.max(0)
    return float(max(-low[0], -low[1], high[0] - size[1], high[1] - size[0]))


def is_outside(polygon, size):
    """Whether no part of a polygon lies in a picture of (height, width)."""
    (left, top), (right, bottom) = polygon.min(0), polygon.max(0)
    return bool(right <= 0 or bottom <= 0 or left >= size[1] or top >= size[0])
