"""Polygons, float32 or int32 `[P, 2]`, (x, y) in pixels: area, offset, box around, mean inside."""

from typing import NamedTuple

import cv2
import numpy as np
import pyclipper
import shapely

NEARLY_SQUARE = 1.5  # longer side / shorter side, below which a polygon has no direction


class Shape(NamedTuple):
    """The smallest rotated rectangle around a polygon.

    Attributes:
        height: its shorter side, pixels.
        width: its longer side, pixels.
        aspect: width / height.
        angle: degrees between the longer side and the horizontal, 0 to 90; NaN where the aspect
            is below `NEARLY_SQUARE`, so that neither side is the longer one for sure.
    """

    height: float
    width: float
    aspect: float
    angle: float


def measure(polygon):
    """`Shape` of a polygon."""
    quad, height = box_around(np.asarray(polygon, np.float32))
    sides = quad[1] - quad[0], quad[2] - quad[1]
    x, y = max(sides, key=np.linalg.norm)
    width = np.hypot(x, y)
    aspect = width / max(height, 1e-6)
    angle = np.degrees(np.arctan2(abs(y), abs(x))) if aspect >= NEARLY_SQUARE else np.nan
    return Shape(height, width, aspect, angle)


def box_around(points):
    """Smallest rotated rectangle: `(quad float32 [4, 2], shorter side)`.

    The quad begins with the corner that is upper of the two leftmost and runs clockwise. Angle
    and first corner of OpenCV's rectangle change between its versions and are not used.
    """
    rectangle = cv2.minAreaRect(points)
    corners = sorted(cv2.boxPoints(rectangle).tolist(), key=lambda point: point[0])
    first, fourth = (0, 1) if corners[1][1] > corners[0][1] else (1, 0)
    second, third = (2, 3) if corners[3][1] > corners[2][1] else (3, 2)
    quad = np.array([corners[i] for i in (first, second, third, fourth)], np.float32)
    return quad, min(rectangle[1])


def mean_inside(shrink_map, points):
    """Mean of the map over the pixels that a filled polygon covers, float.

    The window is the polygon's bounding box cut to the map; vertices are truncated to pixels
    inside it.
    """
    height, width = shrink_map.shape
    left, top = np.floor(points.min(0)).astype(int)
    right, bottom = np.ceil(points.max(0)).astype(int)
    left, right = min(max(left, 0), width - 1), min(max(right, 0), width - 1)
    top, bottom = min(max(top, 0), height - 1), min(max(bottom, 0), height - 1)
    mask = np.zeros((bottom - top + 1, right - left + 1), np.uint8)
    moved = points.astype(np.float32) - np.array([left, top], np.float32)
    cv2.fillPoly(mask, [moved.astype(np.int32)], 1)
    window = shrink_map[top : bottom + 1, left : right + 1]
    return cv2.mean(window, mask)[0]


def offset_distance(polygon, ratio):
    """D = A (1 - r^2) / L in pixels; 0 for a polygon without area."""
    shape = shapely.Polygon(polygon)
    return shape.area * (1.0 - ratio**2) / shape.length if shape.area > 0 else 0.0


def offset_polygon(polygon, distance):
    """Polygons, int32 `[P, 2]` each, that lie `distance` pixels outside (inside when negative)."""
    offset = pyclipper.PyclipperOffset()
    offset.AddPath(polygon.tolist(), pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
    return [np.array(points, np.int32) for points in offset.Execute(distance)]


def signed_area(polygon):
    """Area in square pixels, positive when the points run counter-clockwise on the screen."""
    x, y = polygon[:, 0], polygon[:, 1]
    return float(np.sum((np.roll(x, -1) - x) * (np.roll(y, -1) + y)) / 2.0)
