"""Checks polygons from label files against limits that no sensible label comes near.

Beyond these limits an image would take minutes to draw or to score.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float32

LARGEST_COORDINATE = 1_000_000  # pixels; no image that can be read is that wide
MOST_POINTS = 1_000  # of a polygon; curved words are labelled with 4 to 20
MOST_POLYGONS = 10_000  # of an image; a page of small print has fewer words
MOST_EDGE_PAIRS = 10_000_000  # of an image: sum of P^2, the cost of testing edges for crossings

BEYOND = f"a coordinate is beyond {LARGEST_COORDINATE} pixels"


def as_polygon(points: Any) -> Float32[np.ndarray, "P 2"]:
    """A polygon from any sequence of (x, y) pairs. Raises ValueError with a reason."""
    try:
        polygon = np.array(points, np.float64)
    except OverflowError:
        raise ValueError(BEYOND) from None
    except (TypeError, ValueError):
        raise ValueError("the points are not pairs of numbers") from None
    if polygon.ndim != 2 or polygon.shape[1] != 2 or len(polygon) < 3:
        count = len(polygon) if polygon.ndim else 0
        raise ValueError(f"{count} points; at least 3 pairs are needed")
    if len(polygon) > MOST_POINTS:
        raise ValueError(f"{len(polygon)} points; at most {MOST_POINTS} are allowed: simplify it")
    if np.isnan(polygon).any():
        raise ValueError("a point is not finite")
    if np.abs(polygon).max() > LARGEST_COORDINATE:
        raise ValueError(BEYOND)
    return polygon.astype(np.float32)


def require_few(polygons: Sequence[Float32[np.ndarray, "_ 2"]]) -> None:
    """Raises ValueError if the polygons of an image take too long to draw or to compare."""
    if len(polygons) > MOST_POLYGONS:
        raise ValueError(f"{len(polygons)} polygons; at most {MOST_POLYGONS} are allowed")
    pairs = sum(len(polygon) ** 2 for polygon in polygons)
    if pairs > MOST_EDGE_PAIRS:
        points = sum(map(len, polygons))
        raise ValueError(f"{len(polygons)} polygons with {points} points are too many: simplify")
