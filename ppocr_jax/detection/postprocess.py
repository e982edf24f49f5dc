"""Post-processing: shrink map -> scored text polygons in pixels of the source image.

The map is thresholded. Each contour of the bitmap becomes a box or polygon, is scored by the map's
mean inside it, grown back by what the targets were shrunk, and scaled to the source image. Source:
DB (arXiv:1911.08947), as implemented for PP-OCRv3.
"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import pyclipper
from jaxtyping import Float, Int, Shaped

from ppocr_jax.data.polygons import box_around, mean_inside

MIN_SIDE = 3  # pixels of the map; thinner boxes are noise


def find_polygons(
    shrink_map: Float[np.ndarray, "H W"],
    size: Sequence[int],
    *,
    thresh: float = 0.3,
    box_thresh: float = 0.6,
    max_candidates: int = 1000,
    unclip_ratio: float = 1.5,
    use_dilation: bool = False,
    score_mode: str = "fast",
    box_type: str = "quad",
) -> tuple[list[Int[np.ndarray, "P 2"]], Float[np.ndarray, "K"]]:
    """Finds the text regions of one image.

    Args:
        shrink_map: float32, in [0, 1].
        size: (height, width) of the source image, to which coordinates are scaled.
        thresh: threshold of the bitmap; text is strictly above it.
        box_thresh: lowest mean score of a box that is kept.
        max_candidates: number of contours to look at, in OpenCV's order.
        unclip_ratio: r' in area r' / perimeter, the distance by which boxes grow.
        use_dilation: whether to dilate the bitmap by one pixel to the right and down first.
        score_mode: "fast" for the mean inside the box, "slow" for the mean inside the contour;
            polygons are always scored by their own shape.
        box_type: "quad" for rotated rectangles, "poly" for polygons that follow the contour.

    Returns:
        `(polygons, scores)` in the order of OpenCV's contours. Points are int32 (x, y), from 0 to
        width and height inclusive; quads run clockwise from the upper left. Scores are float32.
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


def find_contours(
    shrink_map: Float[np.ndarray, "H W"], thresh: float, use_dilation: bool = False
) -> Sequence[Int[np.ndarray, "P 1 2"]]:
    """Contours of the regions above a threshold, int32, in OpenCV's form; see `find_polygons`."""
    bitmap: np.ndarray = (shrink_map > thresh).astype(np.uint8)
    if use_dilation:
        bitmap = cv2.dilate(bitmap, np.ones((2, 2), np.uint8))
    return cv2.findContours(bitmap, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]


def find_regions(
    shrink_map: Float[np.ndarray, "H W"],
    thresh: float,
    max_candidates: int = 1000,
    use_dilation: bool = False,
    score_mode: str = "fast",
    box_type: str = "quad",
) -> Iterator[tuple[Shaped[np.ndarray, "P 2"], float]]:
    """Finds text regions before they are grown back; for the arguments see `find_polygons`.

    Yields:
        `(points, score)`: points in pixels of the map, float32 for quads and int32 for polygons.
    """
    for contour in find_contours(shrink_map, thresh, use_dilation)[:max_candidates]:
        if box_type == "quad":
            points, side = box_around(contour)
            if side < MIN_SIDE:
                continue
            inside = points if score_mode == "fast" else contour.reshape(-1, 2)
        else:
            # PaddleOCR's tolerance: it removes the bitmap's steps and keeps the shape.
            tolerance = 0.002 * cv2.arcLength(contour, True)
            points = inside = cv2.approxPolyDP(contour, tolerance, True).reshape(-1, 2)
            if len(points) < 4:
                continue
        yield points, mean_inside(shrink_map, inside)


def grow(
    points: Shaped[np.ndarray, "P 2"], unclip_ratio: float, box_type: str = "quad"
) -> Shaped[np.ndarray, "Q 2"] | None:
    """Grows a region back to the size of its text; None if the result is too thin to keep.

    Points are in pixels of the map.
    """
    grown = unclip(points, unclip_ratio)
    if grown is None:
        return None
    quad, side = box_around(grown)
    if side < MIN_SIDE + 2:  # the reference's second limit, for what has grown
        return None
    return quad if box_type == "quad" else grown


def unclip(points: Shaped[np.ndarray, "P 2"], ratio: float) -> Int[np.ndarray, "Q 2"] | None:
    """Offsets a polygon outwards by area * ratio / perimeter, with round corners.

    Returns:
        int32; None if the polygon has no extent or the result is not a single polygon.
    """
    # In float64, like the reference's Shapely polygons.
    x, y = points[:, 0].astype(np.float64), points[:, 1].astype(np.float64)
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    area = abs(np.dot(x, next_y) - np.dot(y, next_x)) / 2.0
    perimeter = np.hypot(x - next_x, y - next_y).sum()
    if perimeter == 0.0:
        return None
    # Clipper computes in whole numbers. Vertices lose their fractions here, as in PaddleOCR, whose
    # boxes would otherwise differ from ours by a pixel.
    offset = pyclipper.PyclipperOffset()
    offset.AddPath(points.tolist(), pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
    grown = offset.Execute(area * ratio / perimeter)
    return np.array(grown[0], np.int32) if len(grown) == 1 else None


def to_source(
    points: Shaped[np.ndarray, "P 2"], shape: Sequence[int], size: Sequence[int]
) -> Int[np.ndarray, "P 2"]:
    """Scales points from the map to the source image, rounds half to even and clips; int32.

    Args:
        points: (x, y) in pixels of the map.
        shape: (height, width) of the map.
        size: (height, width) of the source image.
    """
    limit = np.array([size[1], size[0]], np.float64)
    grid = np.array([shape[1], shape[0]], np.float64)
    return np.clip(np.round(points / grid * limit), 0, limit).astype(np.int32)
