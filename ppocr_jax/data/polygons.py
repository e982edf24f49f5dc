"""Operations on polygons, `[P, 2]` in (x, y) pixels: area, offset, bounding box, mean inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import pyclipper
import shapely

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int32, Shaped

NEARLY_SQUARE = 1.5  # longer side / shorter side; below it a polygon has no clear direction


class Shape(NamedTuple):
    """Size and direction of the smallest rotated rectangle around a polygon.

    Attributes:
        height: its shorter side, pixels.
        width: its longer side, pixels.
        aspect: width / height.
        angle: degrees between the longer side and the horizontal, 0 to 90; NaN if the aspect is
            below `NEARLY_SQUARE`, when it is not clear which side runs along the text.
    """

    height: float
    width: float
    aspect: float
    angle: float


def measure(polygon: Shaped[np.ndarray, "P 2"]) -> Shape:
    """The `Shape` of a polygon."""
    quad, height = box_around(np.asarray(polygon, np.float32))
    sides = quad[1] - quad[0], quad[2] - quad[1]
    x, y = max(sides, key=np.linalg.norm)
    width = np.hypot(x, y)
    aspect = width / max(height, 1e-6)
    angle = np.degrees(np.arctan2(abs(y), abs(x))) if aspect >= NEARLY_SQUARE else np.nan
    return Shape(height, width, aspect, angle)


def box_around(points: Shaped[np.ndarray, "*P 2"]) -> tuple[Float32[np.ndarray, "4 2"], float]:
    """Smallest rotated rectangle around points: `(quad, shorter side in pixels)`.

    The quad is clockwise and begins with the upper one of the two leftmost corners.

    Args:
        points: float32 or int32, `[P, 2]` or a contour of OpenCV, `[P, 1, 2]`.
    """
    rectangle = cv2.minAreaRect(points)
    # The corners are sorted here, because the angle and the first corner of OpenCV's rectangle
    # differ between its versions.
    corners = sorted(cv2.boxPoints(rectangle).tolist(), key=lambda point: point[0])
    first, fourth = (0, 1) if corners[1][1] > corners[0][1] else (1, 0)
    second, third = (2, 3) if corners[3][1] > corners[2][1] else (3, 2)
    quad = np.array([corners[i] for i in (first, second, third, fourth)], np.float32)
    return quad, min(rectangle[1])


def mean_inside(shrink_map: Float[np.ndarray, "H W"], points: Shaped[np.ndarray, "P 2"]) -> float:
    """Mean of the map over the pixels that a filled polygon covers: DB's box score.

    Only the polygon's bounding box, clipped to the map, is looked at. Vertices are truncated to
    whole pixels inside it, as in PaddleOCR.
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


def offset_distance(polygon: Shaped[np.ndarray, "P 2"], ratio: float) -> float:
    """D = A (1 - r^2) / L in pixels, with area A and perimeter L; 0 for a polygon without area.

    Source: DB (arXiv:1911.08947), label generation.
    """
    shape = shapely.Polygon(polygon)
    return shape.area * (1.0 - ratio**2) / shape.length if shape.area > 0 else 0.0


def offset_polygon(
    polygon: Shaped[np.ndarray, "P 2"], distance: float
) -> list[Int32[np.ndarray, "_ 2"]]:
    """The polygon grown by `distance` pixels, or shrunk if it is negative, with round corners.

    Shrinking can split a polygon or leave nothing, hence a list.
    """
    # Clipper works on integers: it truncates the vertices.
    offset = pyclipper.PyclipperOffset()
    offset.AddPath(polygon.tolist(), pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
    return [np.array(points, np.int32) for points in offset.Execute(distance)]


def signed_area(polygon: Shaped[np.ndarray, "P 2"]) -> float:
    """Area in square pixels, positive if the points run counter-clockwise on the screen."""
    x, y = polygon[:, 0], polygon[:, 1]
    return float(np.sum((np.roll(x, -1) - x) * (np.roll(y, -1) + y)) / 2.0)
