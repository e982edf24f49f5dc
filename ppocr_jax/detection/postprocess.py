"""Shrink map -> scored polygons in the pixels of the source image.

Contours of the map's bitmap are boxed, scored by the map's mean inside, grown back by what the
targets had shrunk, and scaled. Source: DB (arXiv:1911.08947), in the form of PP-OCRv3.
"""

import cv2
import numpy as np
import pyclipper

from ppocr_jax.data.polygons import box_around, mean_inside

MIN_SIDE = 3  # pixels of the map: thinner boxes are noise


def find_polygons(
    shrink_map,
    size,
    *,
    thresh=0.3,
    box_thresh=0.6,
    max_candidates=1000,
    unclip_ratio=1.5,
    use_dilation=False,
    score_mode="fast",
    box_type="quad",
):
    """Text regions of one image.

    Args:
        shrink_map: float32 `[H, W]`, in [0, 1].
        size: (height, width) of the source image, to which coordinates are scaled.
        thresh: map -> bitmap, strictly above.
        box_thresh: lowest mean score of a kept box.
        max_candidates: contours that are looked at, in OpenCV's order.
        unclip_ratio: r' of the distance area r' / perimeter that boxes grow by.
        use_dilation: grow the bitmap by one pixel right and down first.
        score_mode: "fast", the mean inside the box; "slow", inside the contour (quads only).
        box_type: "quad" for rotated rectangles, "poly" for the contour's own shape.

    Returns:
        `(polygons, scores)`: int32 `[P, 2]` each (x, y), 0 to width and height inclusive, in the
        order of OpenCV's contours; float32 `[K]`. Quads run clockwise from the upper left.
    """
    regions = find_regions(shrink_map, thresh, max_candidates, use_dilation, score_mode, box_type)
    polygons, scores = [], []
    for points, score in regions:
        if score < box_thresh:
            continue
        grown = grow(points, unclip_ratio, box_type)
        if grown is not None:
            polygons.append(to_source(grown, shrink_map.shape, size))
            scores.append(score)
    return polygons, np.array(scores, np.float32)


def find_contours(shrink_map, thresh, use_dilation=False):
    """Outlines of the regions above a threshold, int32 `[P, 1, 2]` each; see `find_polygons`."""
    bitmap = (shrink_map > thresh).astype(np.uint8)
    if use_dilation:
        bitmap = cv2.dilate(bitmap, np.ones((2, 2), np.uint8))
    return cv2.findContours(bitmap, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]


def find_regions(
    shrink_map, thresh, max_candidates=1000, use_dilation=False, score_mode="fast", box_type="quad"
):
    """What is text before it is grown back; see `find_polygons` for the arguments.

    Yields:
        `(points, score)`: float32 or int32 `[P, 2]` in the map's pixels, and a float.
    """
    for contour in find_contours(shrink_map, thresh, use_dilation)[:max_candidates]:
        if box_type == "quad":
            points, side = box_around(contour)
            if side < MIN_SIDE:
                continue
            inside = points if score_mode == "fast" else contour.reshape(-1, 2)
        else:
            tolerance = 0.002 * cv2.arcLength(contour, True)
            points = inside = cv2.approxPolyDP(contour, tolerance, True).reshape(-1, 2)
            if len(points) < 4:
                continue
        yield points, mean_inside(shrink_map, inside)


def grow(points, unclip_ratio, box_type="quad"):
    """A region grown back to the size of its text, in the map's pixels; None if it is too thin."""
    grown = unclip(points, unclip_ratio)
    if grown is None:
        return None
    quad, side = box_around(grown)
    if side < MIN_SIDE + 2:
        return None
    return quad if box_type == "quad" else grown


def unclip(points, ratio):
    """The polygon grown by area x ratio / perimeter with round corners, int32 `[P, 2]`.

    Clipper works on whole numbers: vertices are truncated on the way in. None when the result
    is not one polygon.
    """
    x, y = points[:, 0].astype(np.float64), points[:, 1].astype(np.float64)
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    area = abs(np.dot(x, next_y) - np.dot(y, next_x)) / 2.0
    perimeter = np.hypot(x - next_x, y - next_y).sum()
    if perimeter == 0.0:
        return None
    offset = pyclipper.PyclipperOffset()
    offset.AddPath(points.tolist(), pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
    grown = offset.Execute(area * ratio / perimeter)
    return np.array(grown[0], np.int32) if len(grown) == 1 else None


def to_source(points, shape, size):
    """Map pixels -> source pixels, rounded half to even and clipped, int32."""
    limit = np.array([size[1], size[0]], np.float64)
    grid = np.array([shape[1], shape[0]], np.float64)
    return np.clip(np.round(points / grid * limit), 0, limit).astype(np.int32)
