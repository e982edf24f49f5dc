"""Polygons -> the ground truth of the maps: shrink map and threshold map with their masks.

Source: DB (arXiv:1911.08947). Two details follow PaddleOCR rather than the paper, because the
published weights were trained on them. Clipper works on integers, so vertices are truncated before
they are offset. The distance to an edge is the distance to its nearer end wherever the pixel sees
the edge under less than a right angle.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from ppocr_jax.data.polygons import offset_distance, offset_polygon, signed_area
from ppocr_jax.errors import UserError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32, Float64, Int32, UInt8

# Limit on the work of drawing all borders of one image: pixels times edges, in units of one whole
# map. One unit takes 0.03 s on a slow core at 960x960. Ordinary images need one or two units,
# pages of dense slanted lines about fifty.
MOST_BORDER_WORK = 200
NEXT_RATIO = 0.4  # step from one shrink ratio to the next when a polygon does not stay whole


def draw_targets(
    polygons: Sequence[Float[np.ndarray, "_ 2"]],
    ignore: Sequence[bool],
    height: int,
    width: int,
    *,
    shrink_ratio: float = 0.4,
    thresh_min: float = 0.3,
    thresh_max: float = 0.7,
    min_text_size: float = 8,
) -> dict[str, np.ndarray]:
    """The four target maps of one training image.

    The threshold map uses the original polygons, before small text is filtered out: text too small
    for the shrink map still has a border to learn.

    Args:
        polygons: float32 `[P, 2]` each, (x, y) in pixels; may lie partly outside the image.
        ignore: bool per polygon.
        height, width: size of the maps, pixels.
        shrink_ratio: r in D = A (1 - r^2) / L, the distance by which polygons shrink and grow.
        thresh_min: value of the threshold map far from text.
        thresh_max: value of the threshold map on a text edge.
        min_text_size: pixels; text lower or narrower than this is masked out.

    Returns:
        `{"threshold_map": float32, "threshold_mask", "shrink_map", "shrink_mask": uint8}`,
        each `[H, W]`.

    Raises:
        UserError: see `draw_threshold_map`.
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


def draw_threshold_map(
    polygons: Sequence[Float[np.ndarray, "_ 2"]],
    ignore: Sequence[bool],
    height: int,
    width: int,
    shrink_ratio: float = 0.4,
    thresh_min: float = 0.3,
    thresh_max: float = 0.7,
) -> tuple[Float32[np.ndarray, "H W"], UInt8[np.ndarray, "H W"]]:
    """`(threshold_map float32, threshold_mask uint8)`, each `[H, W]`.

    The map falls from `thresh_max` on an edge to `thresh_min` at distance D on both sides; the mask
    is 1 inside each polygon grown by D. Ignored polygons, polygons without area and those outside
    the image draw nothing. Arguments are those of `draw_targets`.

    Raises:
        UserError: so many long outlines overlap that drawing them would take minutes.
    """
    canvas = np.zeros((height, width), np.float32)
    mask = np.zeros((height, width), np.uint8)
    for border in _borders(polygons, ignore, height, width, shrink_ratio):
        cv2.fillPoly(mask, [border.grown], 1)
        if border.place:
            window = canvas[border.place]
            # Where borders overlap the larger value wins. `fmax`, not `maximum`: pixels without a
            # value (NaN, see `_border_distance`) must not spread.
            np.fmax(window, 1.0 - _border_distance(border), out=window)
    # Scaled once at the end, in float32, as the published labels are.
    canvas *= np.float32(thresh_max - thresh_min)
    canvas += np.float32(thresh_min)
    return canvas, mask


class _Border(NamedTuple):
    """The band around a polygon's edges in which the threshold map is drawn.

    Attributes:
        grown: int32 `[P, 2]`, the polygon grown by `distance`.
        distance: D, pixels.
        place: rows and columns of the map inside the grown polygon's bounding box, as slices; None
            if the box is outside the map.
        points: `[P, 2]`, the polygon relative to that box's upper left corner, in its own dtype;
            this and the rest are empty if `place` is None.
        ys, xs: rows and columns of `place` relative to that corner, float64.
        near: per edge, from one point to the next: the part of `place` near it, as slices.
    """

    grown: Int32[np.ndarray, "_ 2"]
    distance: float
    place: tuple[slice, slice] | None = None
    points: Float[np.ndarray, "_ 2"] = np.zeros((0, 2))
    ys: Float64[np.ndarray, " h"] = np.zeros(0)
    xs: Float64[np.ndarray, " w"] = np.zeros(0)
    near: Sequence[tuple[slice, slice]] = ()


def require_drawable(
    polygons: Sequence[Float[np.ndarray, "_ 2"]],
    ignore: Sequence[bool],
    height: int,
    width: int,
    shrink_ratio: float = 0.4,
) -> None:
    """Raises the UserError of `draw_threshold_map` without drawing anything."""
    # A polygon costs at most one whole map, and so does each of its edges: below this number the
    # limit cannot be reached, and nothing has to be measured.
    pieces = sum(1 + len(p) for p, ignored in zip(polygons, ignore, strict=True) if not ignored)
    if pieces <= MOST_BORDER_WORK:
        return
    for _ in _borders(polygons, ignore, height, width, shrink_ratio):
        pass


def _borders(
    polygons: Sequence[np.ndarray],
    ignore: Sequence[bool],
    height: int,
    width: int,
    shrink_ratio: float,
) -> Iterator[_Border]:
    """The `_Border` of each polygon that has one. Raises UserError beyond `MOST_BORDER_WORK`."""
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
                "so many long, overlapping polygon edges would take minutes to draw: simplify "
                "the polygons"
            )
        yield border


def _place_border(
    polygon: np.ndarray, grown: np.ndarray, distance: float, height: int, width: int
) -> _Border:
    """The `_Border` of a polygon in a map of `height` x `width` pixels."""
    (xmin, ymin), (xmax, ymax) = grown.min(0), grown.max(0)
    left, right = max(xmin, 0), min(xmax, width - 1)
    top, bottom = max(ymin, 0), min(ymax, height - 1)
    if left > right or top > bottom:
        return _Border(grown, distance)
    points = polygon - np.array([xmin, ymin], polygon.dtype)
    xs = np.arange(left - xmin, right - xmin + 1, dtype=np.float64)
    ys = np.arange(top - ymin, bottom - ymin + 1, dtype=np.float64)
    # An edge matters only near itself: a pixel further than D from it along either axis has a
    # distance above 1 and no NaN, so skipping it changes no value.
    near = [
        (_around(ys, start[1], end[1], distance), _around(xs, start[0], end[0], distance))
        for start, end in zip(points, np.roll(points, -1, 0), strict=True)
    ]
    place = slice(top, bottom + 1), slice(left, right + 1)
    return _Border(grown, distance, place, points, ys, xs, near)


def _border_distance(border: _Border) -> Float32[np.ndarray, "h w"]:
    """Distance from each pixel of `border.place` to the nearest edge, in units of D, at most 1.

    PaddleOCR computes distances with the law of cosines. Rounding can push the cosine of a pixel
    exactly on an edge above 1; such a pixel gets NaN, and so no value, instead of distance 0. The
    steps and their order are the same here, so that the same pixels get no value.
    """
    points = border.points
    # Squared distances split into columns and rows: x and y parts are computed once per point, and
    # only their sum is as large as the window.
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


def _around(line: np.ndarray, start: float, end: float, limit: float) -> slice:
    """The part of ascending coordinates within `limit` + 1 of the interval [start, end]."""
    low, high = min(start, end) - limit - 1, max(start, end) + limit + 1
    return slice(*np.searchsorted(line, [low, high]).tolist())


def _edge_distance(
    start: np.ndarray, end: np.ndarray, to_start: np.ndarray, to_end: np.ndarray
) -> np.ndarray:
    """Distance in pixels from every pixel to one edge, given the squared distances to its ends."""
    length = np.square(start[0] - end[0]) + np.square(start[1] - end[1])
    product = to_start * to_end
    # Law of cosines: the angle at the pixel, between the directions to the two ends. In place,
    # since these arrays are large.
    cosine = length - to_start
    cosine -= to_end
    cosine /= 2 * np.sqrt(product)
    # Height of the triangle pixel, start, end over the edge: sin(angle) * sqrt(product / length).
    across = 1 - np.square(cosine)
    on_vertex = ~np.isfinite(across)  # 0 / 0: the pixel is one of the ends
    if on_vertex.any():
        across[on_vertex] = np.nan_to_num(across[on_vertex])
    across *= product
    across /= length
    np.sqrt(across, out=across)
    # This cosine has the opposite sign of the angle's: below 0 the pixel sees the edge under less
    # than a right angle, and the distance to the nearer end counts.
    return np.sqrt(np.fmin(to_start, to_end), out=across, where=cosine < 0)


def draw_shrink_map(
    polygons: Sequence[Float[np.ndarray, "_ 2"]],
    ignore: Sequence[bool],
    height: int,
    width: int,
    shrink_ratio: float = 0.4,
    min_text_size: float = 8,
) -> tuple[UInt8[np.ndarray, "H W"], UInt8[np.ndarray, "H W"], Bool[np.ndarray, " N"]]:
    """`(shrink_map, shrink_mask, ignore)`: uint8 `[H, W]` twice, and bool per polygon.

    Polygons are first clipped to the image. The map is 1 inside each polygon shrunk by D. Polygons
    that are ignored, too small, or vanish when shrunk are 0 in the mask instead, and True in the
    returned `ignore`. Arguments are those of `draw_targets`.
    """
    shrink_map = np.zeros((height, width), np.uint8)
    mask = np.ones((height, width), np.uint8)
    after = []
    for polygon, ignored in zip(polygons, ignore, strict=True):
        polygon = np.clip(polygon, 0, np.array([width - 1, height - 1], polygon.dtype))
        # Size is judged after clipping: what is left of a word at the border may be too small.
        sides = polygon.max(0) - polygon.min(0)
        ignored = bool(ignored) or abs(signed_area(polygon)) < 1 or sides.min() < min_text_size
        pieces = [] if ignored else shrink_polygon(polygon, shrink_ratio)
        if not pieces:
            cv2.fillPoly(mask, [polygon.astype(np.int32)], 0)
        for piece in pieces:
            cv2.fillPoly(shrink_map, [piece], 1)
        after.append(not pieces)
    return shrink_map, mask, np.array(after, bool)


def shrink_polygon(
    polygon: Float[np.ndarray, "P 2"], shrink_ratio: float
) -> list[Int32[np.ndarray, "_ 2"]]:
    """The polygon shrunk by D, in pieces; an empty list if nothing is left.

    A thin waist can split a polygon. Larger ratios, which shrink less, are then tried until one
    gives a single piece; if none does, the pieces of the last one are returned.
    """
    pieces: list[np.ndarray] = []
    for ratio in np.arange(shrink_ratio, 1, NEXT_RATIO):
        pieces = offset_polygon(polygon, -offset_distance(polygon, ratio))
        if len(pieces) == 1:
            break
    return pieces
