"""Shapes of drawing tools -> polygons, float64 `[P, 2]`, (x, y)."""

import math

import numpy as np
import shapely

ROUND = 32  # points of a circle or an ellipse
DENSE = 0.5  # share of their common hull that the parts of one word fill


def rectangle(first, second):
    """Corners of an upright rectangle between two opposite corners, in any order."""
    (x1, y1), (x2, y2) = first, second
    left, right, top, bottom = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)


def turned_box(x, y, width, height, degrees, pivot="corner"):
    """Corners of a box that is turned clockwise on the screen.

    Args:
        x, y: its upper left corner before turning.
        width, height: of it.
        degrees: clockwise.
        pivot: about what it is turned: "corner", its upper left one, or "centre".
    """
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    centre = np.array([width, height]) / 2 if pivot == "centre" else np.zeros(2)
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    moved = (corners - centre) @ turn + centre if degrees else corners
    return moved + np.array([x, y])


def ellipse(x, y, x_radius, y_radius, degrees=0.0):
    """Points of an ellipse about (x, y), turned clockwise on the screen."""
    angles = 2 * math.pi * np.arange(ROUND) / ROUND
    points = np.stack([x_radius * np.cos(angles), y_radius * np.sin(angles)], 1)
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return points @ turn + np.array([x, y])


def join_parts(parts):
    """One word of several parts -> polygons.

    Parts that touch become their outline. Others become their common hull where they fill at least
    `DENSE` of it, as the parts of a word behind a pole do; else each stays by itself, as in a mask
    of all text of a page.

    Args:
        parts: polygons.

    Returns:
        A list of polygons.
    """
    if len(parts) < 2:
        return list(parts)
    shapes = [shapely.make_valid(shapely.Polygon(part)) for part in parts]
    whole = shapely.union_all(shapes)
    if isinstance(whole, shapely.Polygon):
        return [outline(whole)]
    hull = whole.convex_hull
    if isinstance(hull, shapely.Polygon) and whole.area >= DENSE * hull.area:
        return [outline(hull)]
    return list(parts)


def touch(parts):
    """Whether polygons form one piece."""
    whole = shapely.union_all([shapely.make_valid(shapely.Polygon(part)) for part in parts])
    return isinstance(whole, shapely.Polygon)


def outline(shape):
    """Points of the outer ring of a shapely polygon, the last not the first once more."""
    return shapely.get_coordinates(shape.exterior)[:-1]
