"""Polygons -> what the networks should draw: shrink and threshold map with their masks.

Source: DB (arXiv:1911.08947). Clipper works on whole numbers, so vertices are truncated before
they are offset, and distances to an edge are to its nearer end where the pixel sees the edge
under less than a right angle; both are what published weights were trained on.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from ppocr_jax.data.polygons import offset_distance, offset_polygon, signed_area
from ppocr_jax.errors import UserError

# Pixels times edges that the borders of a picture may take, in whole maps; a map of 960x960 takes
# 0.03 s of a slow core. Words that share a picture take one or two, dense slanted lines fifty.
MOST_BORDER_WORK = 200
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

    Raises:
        UserError: so many long outlines lie over one another that it would take minutes.
    """
    canvas = np.zeros((height, width), np.float32)
    mask = np.zeros((height, width), np.uint8)
    for border in _borders(polygons, ignore, height, width, shrink_ratio):
        cv2.fillPoly(mask, [border.grown], 1)
        if border.place:
            window = canvas[border.place]
            np.fmax(window, 1.0 - _border_distance(border), out=window)
    canvas *= np.float32(thresh_max - thresh_min)
    canvas += np.float32(thresh_min)
    return canvas, mask


class _Border(NamedTuple):
    """The strip around a polygon's edges.

    Attributes:
        grown: int32 `[P, 2]`, the polygon grown by `distance`.
        place: rows and columns of the map that the grown polygon's box covers, as slices; None
            where it lies outside.
        points: of the polygon, relative to the grown one's corner, in its own precision.
        ys, xs: rows and columns of `place`, relative to that corner, float64.
        near: per edge, from a point to the next: rows and columns of `place` around it, as slices.
    """

    grown: np.ndarray
    distance: float
    place: tuple[slice, slice] | None = None
    points: np.ndarray | None = None
    ys: np.ndarray | None = None
    xs: np.ndarray | None = None
    near: Sequence[tuple[slice, slice]] = ()


def require_drawable(polygons, ignore, height, width, shrink_ratio=0.4):
    """Raises the UserError of `draw_threshold_map` without drawing anything."""
    pieces = sum(1 + len(p) for p, ignored in zip(polygons, ignore, strict=True) if not ignored)
    if pieces <= MOST_BORDER_WORK:  # each lies within the picture: nothing to measure
        return
    for _ in _borders(polygons, ignore, height, width, shrink_ratio):
        pass


def _borders(polygons, ignore, height, width, shrink_ratio):
    """`_Border`s of the polygons that have one, while all together are not too much work."""
    work = 0
    for polygon, ignored in zip(polygons, ignore, strict=True):
        distance = 0.0 if ignored else offset_distance(polygon, shrink_ratio)
        grown = offset_polygon(polygon, distance) if distance > 0 else []
        if not grown:
            continue
        border = _place_border(polygon, grown[0], distance, height, width)
        place = [border.place] if border.place else []
        work += sum((y.stop - y.start) * (x.stop - x.start) for y, x in [*place, *border.near])
        if work > MOST_BORDER_WORK * height * width:
            raise UserError(
                "polygons with so many long edges over one another would take minutes to draw: "
                "simplify them"
            )
        yield border


def _place_border(polygon, grown, distance, height, width):
    (xmin, ymin), (xmax, ymax) = grown.min(0), grown.max(0)
    left, right = max(xmin, 0), min(xmax, width - 1)
    top, bottom = max(ymin, 0), min(ymax, height - 1)
    if left > right or top > bottom:
        return _Border(grown, distance)
    points = polygon - np.array([xmin, ymin], polygon.dtype)
    xs = np.arange(left - xmin, right - xmin + 1, dtype=np.float64)
    ys = np.arange(top - ymin, bottom - ymin + 1, dtype=np.float64)
    near = [  # further away than D along an axis: at least 1, and no NaN
        tuple(_around(line, start[axis], end[axis], distance) for line, axis in ((ys, 1), (xs, 0)))
        for start, end in zip(points, np.roll(points, -1, 0), strict=True)
    ]
    place = slice(top, bottom + 1), slice(left, right + 1)
    return _Border(grown, distance, place, points, ys, xs, near)


def _border_distance(border):
    """Distance to the nearest edge in units of D, at most 1: float32, of the border's place.

    Published labels come from the law of cosines: on the line of an edge rounding can push the
    cosine above 1, and such a pixel gets no value (NaN) rather than distance 0. The same steps
    in the same order are taken here, so that the same pixels are left out.
    """
    points = border.points
    across = [np.square(border.xs - point[0])[None, :] for point in points]
    down = [np.square(border.ys - point[1])[:, None] for point in points]
    nearest = np.ones((len(border.ys), len(border.xs)), np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        for start, near in enumerate(border.near):
            end, (rows, columns) = (start + 1) % len(points), near
            to_start, to_end = (
                across[point][:, columns] + down[point][rows] for point in (start, end)
            )
            to_edge = _edge_distance(points[start], points[end], to_start, to_end)
            to_edge = np.clip(to_edge / border.distance, 0, 1).astype(np.float32)
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
