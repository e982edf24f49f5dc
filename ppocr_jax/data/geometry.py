"""Geometry and crop of a sample: drawn at random, and what they do to polygons.

Flip (x' = W - 1 - x), rotation about the centre ((W - 1) / 2, (H - 1) / 2) on an unchanged canvas,
one scale for both axes; then a crop that keeps words whole where it can, enlarged or reduced to
the canvas. The crop hangs on the polygons alone, so that no pixel is touched before it is known.
"""

from typing import NamedTuple

import cv2
import numpy as np


class Geometry(NamedTuple):
    """flip: mirrored or not; angle: degrees, counter-clockwise on the screen; scale: factor."""

    flip: bool
    angle: float
    scale: float


class Crop(NamedTuple):
    """A rectangle of an image, pixels."""

    x: int
    y: int
    width: int
    height: int


def draw_geometry(rng, *, flip, rotate, scale):
    """Geometry of one sample: flip probability, degrees and factors are drawn uniformly."""
    return Geometry(
        bool(rng.random() < flip), float(rng.uniform(*rotate)), float(rng.uniform(*scale))
    )


def move_polygons(polygons, height, width, geometry):
    """`(polygons, (height, width))` of an image flipped, turned and scaled.

    The canvas does not grow when it is turned; its new sides are int(side x scale), at least 1.
    Polygons, float32 `[P, 2]` each, are not clipped.
    """
    flip, angle, scale = geometry
    polygons = [np.asarray(polygon, np.float64) for polygon in polygons]
    if flip:
        polygons = [polygon * [-1, 1] + [width - 1, 0] for polygon in polygons]
    if angle:
        turn = rotation(height, width, angle)
        polygons = [polygon @ turn[:, :2].T + turn[:, 2] for polygon in polygons]
    if scale != 1.0:
        polygons = [polygon * scale for polygon in polygons]
    return [polygon.astype(np.float32) for polygon in polygons], scaled(height, width, scale)


def scaled(height, width, scale):
    """Sides of an image after scaling."""
    return max(1, int(height * scale)), max(1, int(width * scale))


def rotation(height, width, angle):
    """Affine matrix `[2, 3]` of a turn about the centre by `angle` degrees."""
    return cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)


def choose_crop(rng, polygons, ignore, height, width, *, tries, min_side, wordless="whole"):
    """A rectangle whose edges cut no word, where free rows and columns allow it.

    Rows and columns that no word covers are found; between two of them, drawn at random, lies
    the crop. It is at least `min_side` of each side and touches a word. Ignored words are not
    protected. When nothing fits in `tries` draws, the crop is the whole image.

    The published search is kept with its habits: a word that reaches over the left or upper edge
    is protected only where a slice from a negative index covers it, and of several runs of free
    rows the last takes no part.

    Args:
        wordless: where there is no word but ignored ones: "whole", the image as it is, as
            published, or "random", the same search without the word.

    Returns:
        `Crop`.
    """
    whole = Crop(0, 0, width, height)
    words = [p for p, ignored in zip(polygons, ignore, strict=True) if not ignored]
    if not words and wordless == "whole":
        return whole
    columns, rows = _free(words, 0, width), _free(words, 1, height)
    if not len(columns) or not len(rows):
        return whole
    column_runs, row_runs = _runs(columns), _runs(rows)
    boxes = np.array([[*word.min(0), *word.max(0)] for word in words]).reshape(-1, 4)
    for _ in range(tries):
        left, right = _draw_pair(rng, columns, column_runs, width)
        top, bottom = _draw_pair(rng, rows, row_runs, height)
        if right - left < min_side * width or bottom - top < min_side * height:
            continue
        outside = (boxes[:, 2] < left) | (boxes[:, 0] > right)
        outside |= (boxes[:, 3] < top) | (boxes[:, 1] > bottom)
        if not (words and outside.all()):
            return Crop(left, top, right - left, bottom - top)
    return whole


def _free(words, axis, length):
    """Coordinates along an axis that no word covers."""
    covered = np.zeros(length, bool)
    for word in words:
        along = np.round(word[:, axis]).astype(np.int32)
        covered[along.min() : along.max()] = True
    return np.nonzero(~covered)[0]


def _runs(free):
    """Runs of consecutive coordinates, without the last one."""
    return np.split(free, np.nonzero(np.diff(free) != 1)[0] + 1)[:-1]


def _draw_pair(rng, free, runs, length):
    """Two coordinates in ascending order: from two drawn runs, or from all that is free."""
    if len(runs) > 1:
        chosen = [runs[index] for index in rng.integers(len(runs), size=2)]
        pair = [int(run[rng.integers(len(run))]) for run in chosen]
    else:
        pair = [int(free[index]) for index in rng.integers(len(free), size=2)]
        pair = [min(max(value, 0), length - 1) for value in pair]
    return min(pair), max(pair)


def crop_polygons(polygons, ignore, crop, size):
    """`(polygons, ignore)` in a crop that is scaled to fit a canvas of (width, height) pixels.

    Polygons wholly outside are dropped, the others are not clipped.
    """
    x, y, width, height = crop
    scale = min(size[0] / width, size[1] / height)
    inner = fit(crop, size)
    kept, tags = [], []
    for polygon, ignored in zip(polygons, ignore, strict=True):
        moved = (np.asarray(polygon, np.float64) - [x, y]) * scale
        (left, top), (right, bottom) = moved.min(0), moved.max(0)
        if right >= 0 and bottom >= 0 and left <= inner[0] and top <= inner[1]:
            kept.append(moved.astype(np.float32))
            tags.append(bool(ignored))
    return kept, tags


def fit(crop, size):
    """(width, height) of a crop scaled to fit a canvas."""
    scale = min(size[0] / crop.width, size[1] / crop.height)
    return max(1, int(crop.width * scale)), max(1, int(crop.height * scale))
