"""Polygons -> what the networks should draw: shrink and threshold map with their masks.

Source: DB (arXiv:1911.08947). Clipper works on whole numbers, so vertices are truncated before
they are offset, and distances to an edge are to its nearer end where the pixel sees the edge
under less than a right angle; both are what published weights were trained on.
"""

import cv2
import numpy as np

from ppocr_jax.data.polygons import offset_distance, offset_polygon, signed_area

NEXT_RATIO = 0.4  # step from one shrink ratio to the next when a polygon does not stay whole


def draw_targets(polygons, ignore, height, width, *, shrink_ratio=0.4, thresh_min=0.3,
                 thresh_max=0.7, min_text_size=8):  # fmt: skip
    """The four target maps of one training image.

    The threshold map comes first and sees the polygons as they are: text that is too small for
    the shrink map still has a border to learn.

    Args:
        polygons: float32 `[P, 2]` each, (x, y) pixels, may lie partly outside.
        ignore: bool per polygon.
        height, width: of the maps, pixels.
        shrink_ratio: r of the distance D = A (1 - r^2) / L.
        thresh_min, thresh_max: threshold map far from and on a text edge.
        min_text_size: pixels; lower or narrower text is masked out.

    Returns:
        `{"threshold_map": float32, "threshold_mask", "shrink_map", "shrink_mask": uint8}`,
        each `[H, W]`.
    """
    threshold_map, threshold_mask = draw_threshold_map(
        polygons, ignore, height, width, shrink_ratio, thresh_min, thresh_max
    )
    shrink_map, shrink_mask, _ = draw_shrink_map(
        polygons, ignore, height, width, shrink_ratio, min_text_size
    )
    return {
        "threshold_map": threshold_map,
        "threshold_mask": threshold_mask,
        "shrink_map": shrink_map,
        "shrink_mask": shrink_mask,
    }


def draw_threshold_map(polygons, ignore, height, width, shrink_ratio=0.4, thresh_min=0.3,
                       thresh_max=0.7):  # fmt: skip
    """`(threshold_map float32, threshold_mask uint8)`, each `[H, W]`.

    The mask is 1 inside each polygon grown by D; the map falls from `thresh_max` on an edge to
    `thresh_min` at distance D on both sides. Ignored polygons draw nothing, nor do those without
    area or outside the image.
    """
    canvas = np.zeros((height, width), np.float32)
    mask = np.zeros((height, width), np.uint8)
    for polygon, ignored in zip(polygons, ignore, strict=True):
        if not ignored:
            _draw_border(polygon, canvas, mask, shrink_ratio)
    canvas *= np.float32(thresh_max - thresh_min)
    canvas += np.float32(thresh_min)
    return canvas, mask


def _draw_border(polygon, canvas, mask, shrink_ratio):
    distance = offset_distance(polygon, shrink_ratio)
    grown = offset_polygon(polygon, distance) if distance > 0 else []
    if not grown:
        return
    cv2.fillPoly(mask, [grown[0]], 1)
    height, width = canvas.shape
    (xmin, ymin), (xmax, ymax) = grown[0].min(0), grown[0].max(0)
    left, right = max(xmin, 0), min(xmax, width - 1)
    top, bottom = max(ymin, 0), min(ymax, height - 1)
    if left > right or top > bottom:
        return
    # Coordinates relative to the grown polygon's corner, in the polygon's own precision.
    points = polygon - np.array([xmin, ymin], polygon.dtype)
    xs = np.arange(left - xmin, right - xmin + 1, dtype=np.float64)
    ys = np.arange(top - ymin, bottom - ymin + 1, dtype=np.float64)
    window = canvas[top : bottom + 1, left : right + 1]
    np.fmax(window, 1.0 - _border_distance(points, xs, ys, distance), out=window)


def _border_distance(points, xs, ys, limit):
    """Distance to the nearest edge in units of `limit`, at most 1: float32 `[len(ys), len(xs)]`.

    Published labels come from the law of cosines: on the line of an edge rounding can push the
    cosine above 1, and such a pixel gets no value (NaN) rather than distance 0. The same steps
    in the same order are taken here, so that the same pixels are left out.
    """
    squares = [
        np.square(xs - point[0])[None, :] + np.square(ys - point[1])[:, None] for point in points
    ]
    nearest = np.ones((len(ys), len(xs)), np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        for index, point in enumerate(points):
            other = (index + 1) % len(points)
            near = tuple(  # further away than the limit along an axis: at least 1, and no NaN
                _around(line, point[axis], points[other][axis], limit)
                for line, axis in ((ys, 1), (xs, 0))
            )
            to_edge = _edge_distance(
                point, points[other], squares[index][near], squares[other][near]
            )
            to_edge = np.clip(to_edge / limit, 0, 1).astype(np.float32)
            np.minimum(nearest[near], to_edge, out=nearest[near])
    return nearest


def _around(line, start, end, limit):
    """Where ascending coordinates are within a limit of an interval, with a pixel to spare."""
    low, high = min(start, end) - limit - 1, max(start, end) + limit + 1
    return slice(*np.searchsorted(line, [low, high]).tolist())


def _edge_distance(start, end, to_start, to_end):
    """Pixels between every pixel and one edge, from its squared distances to both ends."""
    length = np.square(start[0] - end[0]) + np.square(start[1] - end[1])
    product = to_start * to_end
    cosine = length - to_start
    cosine -= to_end
    cosine /= 2 * np.sqrt(product)
    across = 1 - np.square(cosine)  # the sine's square, until it is a distance
    on_vertex = ~np.isfinite(across)
    if on_vertex.any():
        across[on_vertex] = np.nan_to_num(across[on_vertex])
    across *= product
    across /= length
    np.sqrt(across, out=across)
    return np.sqrt(np.fmin(to_start, to_end), out=across, where=cosine < 0)


def draw_shrink_map(polygons, ignore, height, width, shrink_ratio=0.4, min_text_size=8):
    """`(shrink_map uint8, shrink_mask uint8, ignore)`: maps `[H, W]`, ignore after filtering.

    Polygons are clipped to the image first. What is ignored, tiny, or vanishes when it shrinks is
    cut out of the mask; of the rest the map holds what is left after shrinking by D.
    """
    shrink_map = np.zeros((height, width), np.uint8)
    mask = np.ones((height, width), np.uint8)
    after = []
    for polygon, ignored in zip(polygons, ignore, strict=True):
        polygon = np.clip(polygon, 0, np.array([width - 1, height - 1], polygon.dtype))
        sides = polygon.max(0) - polygon.min(0)
        ignored = bool(ignored) or abs(signed_area(polygon)) < 1 or sides.min() < min_text_size
        pieces = [] if ignored else shrink_polygon(polygon, shrink_ratio)
        if not pieces:
            cv2.fillPoly(mask, [polygon.astype(np.int32)], 0)
        for piece in pieces:
            cv2.fillPoly(shrink_map, [piece], 1)
        after.append(not pieces)
    return shrink_map, mask, np.array(after, bool)


def shrink_polygon(polygon, shrink_ratio):
    """What is left of a polygon: one piece if some ratio gives one, else the last one's pieces."""
    pieces = []
    for ratio in np.arange(shrink_ratio, 1, NEXT_RATIO):
        pieces = offset_polygon(polygon, -offset_distance(polygon, ratio))
        if len(pieces) == 1:
            break
    return pieces
