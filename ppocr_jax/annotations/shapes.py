"""Shapes of labelling tools -> polygons, float64 `[P, 2]`, (x, y), with y pointing down."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import shapely

ROUND = 32  # points of a circle or an ellipse: off by less than 0.5 % of the radius
DENSE = 0.5  # fraction of their common hull that the parts of one word have to fill


def rectangle(first: Sequence[float], second: Sequence[float]) -> np.ndarray:
    """Corners `[4, 2]` of an upright rectangle between two opposite corners, in either order."""
    (x1, y1), (x2, y2) = first, second
    left, right, top, bottom = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)


def rotated_box(
    x: float, y: float, width: float, height: float, degrees: float, pivot: str = "corner"
) -> np.ndarray:
    """Corners `[4, 2]` of a box that is rotated clockwise as seen on the screen.

    Args:
        x: of its upper left corner before the rotation.
        y: of the same corner.
        width: of the box.
        height: of the box.
        degrees: clockwise.
        pivot: the point that stays in place: "corner" for the upper left one, or "centre".
    """
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    centre = np.array([width, height]) / 2 if pivot == "centre" else np.zeros(2)
    # An unrotated box keeps its exact numbers; sin and cos would round them.
    moved = (corners - centre) @ _rotation(degrees) + centre if degrees else corners
    return moved + np.array([x, y])


def ellipse(
    x: float, y: float, x_radius: float, y_radius: float, degrees: float = 0.0
) -> np.ndarray:
    """`ROUND` points `[P, 2]` of an ellipse around (x, y), rotated clockwise on the screen."""
    angles = 2 * math.pi * np.arange(ROUND) / ROUND
    points = np.stack([x_radius * np.cos(angles), y_radius * np.sin(angles)], 1)
    return points @ _rotation(degrees) + np.array([x, y])


def _rotation(degrees: float) -> np.ndarray:
    """Matrix `[2, 2]` that rotates row vectors clockwise on the screen, where y points down."""
    angle = math.radians(degrees)
    return np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])


def join_parts(parts: Iterable[Any]) -> list[Any]:
    """Joins the parts of one word.

    Parts that touch become their outline. Other parts become their common hull if they fill at
    least `DENSE` of it, as the two halves of a word behind a pole do. Otherwise each part stays on
    its own, as in a mask of all text on a page.

    Args:
        parts: polygons `[P, 2]`.

    Returns:
        Polygons `[P, 2]`.
    """
    parts = list(parts)
    if len(parts) < 2:
        return parts
    # Outlines that cross themselves have no area for shapely until they are repaired.
    shapes = [shapely.make_valid(shapely.Polygon(part)) for part in parts]
    whole = shapely.union_all(shapes)
    if isinstance(whole, shapely.Polygon):
        return [outline(whole)]
    hull = whole.convex_hull
    if isinstance(hull, shapely.Polygon) and whole.area >= DENSE * hull.area:
        return [outline(hull)]
    return parts


def touch(parts: Iterable[Any]) -> bool:
    """Whether polygons form one connected piece."""
    whole = shapely.union_all([shapely.make_valid(shapely.Polygon(part)) for part in parts])
    return isinstance(whole, shapely.Polygon)


def outline(shape: shapely.Polygon) -> np.ndarray:
    """Points `[P, 2]` of a polygon's outer ring; shapely repeats the first point, this does not."""
    return shapely.get_coordinates(shape.exterior)[:-1]
