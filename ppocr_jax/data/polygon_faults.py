"""Finds faults of labelled polygons: no area, crossing edges, outside the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import shapely

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, Int

SHOWN = 20  # longest polygon whose points are all printed
SLACK = 1  # pixels that a point may be outside the image: labels are rounded


class Fault(NamedTuple):
    """A fault of a polygon.

    Attributes:
        reason: what is wrong, for the message.
        kind: the same text for all faults of this kind, to group them by.
    """

    reason: str
    kind: str


def find_doubtful(
    counts: Int[np.ndarray, " N"],
    points: Float32[np.ndarray, "M 2"],
    sizes: Int[np.ndarray, "N 2"],
) -> Bool[np.ndarray, " N"]:
    """A fast first pass over many polygons: those marked True may have a fault, others have none.

    Args:
        counts: number of points of each polygon.
        points: (x, y) in pixels, all polygons one after the other.
        sizes: (height, width) of each polygon's image; 0 if unknown.
    """
    if not len(counts):
        return np.zeros(0, bool)
    # Vectorised, since large sets hold millions of polygons and nearly all of them are sound.
    starts = np.cumsum(counts) - counts
    rings = shapely.linearrings(points, indices=np.repeat(np.arange(len(counts)), counts))
    shapes = shapely.polygons(rings)
    whole = shapely.is_valid(shapes) & (shapely.area(shapes) >= 1)
    low, high = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
    over = np.maximum(-low, high - sizes[:, ::-1].astype(np.float32)).max(1)
    return ~whole | (over > SLACK) & (sizes[:, 0] > 0)


def find_fault(polygon: Float32[np.ndarray, "P 2"], size: tuple[int, int] | None) -> Fault | None:
    """The `Fault` of a polygon, or None.

    Args:
        polygon: float32 `[P, 2]`, (x, y) in pixels.
        size: (height, width) of its image; None if unknown.
    """
    shape = shapely.Polygon(polygon)
    # A polygon that crosses itself can have area 0 as a sum of signed parts, hence the hull.
    if shape.convex_hull.area < 1 or (shape.is_valid and shape.area < 1):
        return _describe("has no area", polygon)
    if not shape.is_valid:
        bow = ": a bow-tie, swap two neighbouring points" * is_bow_tie(polygon)
        return _describe(f"crosses itself{bow}", polygon)
    if size is None:
        return None
    off = off_picture(polygon, size)
    if off <= SLACK:
        return None
    picture = f"the image of {size[1]}x{size[0]} pixels"
    if is_outside(polygon, size):
        return _describe(f"is outside {picture}", polygon, "is outside")
    over = f"extends {off:.0f} pixels beyond the edge of {picture}"
    return _describe(over, polygon, "extends beyond the edge")


def _describe(reason: str, polygon: np.ndarray, kind: str = "") -> Fault:
    """A `Fault` whose reason ends with the polygon's points."""
    where = np.round(polygon.astype(float), 1).tolist()
    shown = where if len(where) <= SHOWN else f"{len(where)} points, the first {where[0]}"
    return Fault(f"{reason}: {shown}", kind or reason)


def is_bow_tie(polygon: Float32[np.ndarray, "P 2"]) -> bool:
    """Whether a quad crosses itself only because two neighbouring points are swapped."""
    if len(polygon) != 4:
        return False
    orders = ([1, 0, 2, 3], [0, 2, 1, 3])
    return any(shapely.Polygon(polygon[order]).is_valid for order in orders)


def off_picture(polygon: Float32[np.ndarray, "P 2"], size: tuple[int, int]) -> float:
    """Pixels by which the polygon extends beyond an image of (height, width); <= 0 if inside."""
    low, high = polygon.min(0), polygon.max(0)
    return float(max(-low[0], -low[1], high[0] - size[1], high[1] - size[0]))


def is_outside(polygon: Float32[np.ndarray, "P 2"], size: tuple[int, int]) -> bool:
    """Whether a polygon is completely outside an image of (height, width)."""
    (left, top), (right, bottom) = polygon.min(0), polygon.max(0)
    return bool(right <= 0 or bottom <= 0 or left >= size[1] or top >= size[0])
