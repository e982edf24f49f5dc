"""Polygons as label files give them: what is taken, and what no label that was meant comes near.

Beyond these numbers a picture takes minutes to draw or to score.
"""

import numpy as np

LARGEST_COORDINATE = 1_000_000  # pixels: no picture that is read has such a side
MOST_POINTS = 1_000  # of a polygon: curved words are labelled with 4 to 20
MOST_POLYGONS = 10_000  # of a picture: a page of small print has fewer words
MOST_EDGE_PAIRS = 10_000_000  # of a picture: sum of squared numbers of points, as crossings cost

BEYOND = f"a coordinate is beyond {LARGEST_COORDINATE} pixels"


def as_polygon(points):
    """A polygon, float32 `[P, 2]`, from what stands for it. Raises ValueError with a reason."""
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
        raise ValueError(f"{len(polygon)} points; at most {MOST_POINTS} are taken: simplify it")
    if np.isnan(polygon).any():
        raise ValueError("a point is not finite")
    if np.abs(polygon).max() > LARGEST_COORDINATE:
        raise ValueError(BEYOND)
    return polygon.astype(np.float32)


def require_few(polygons):
    """Raises ValueError where the polygons of a picture take too long to draw or to compare."""
    if len(polygons) > MOST_POLYGONS:
        raise ValueError(f"{len(polygons)} polygons; at most {MOST_POLYGONS} are taken")
    pairs = sum(len(polygon) ** 2 for polygon in polygons)
    if pairs > MOST_EDGE_PAIRS:
        points = sum(map(len, polygons))
        raise ValueError(f"{len(polygons)} polygons with {points} points are too many: simplify")
