"""Random geometry and crop of a sample, and what they do to its polygons.

Flip (x' = W - 1 - x), rotation about the centre ((W - 1) / 2, (H - 1) / 2) without growing the
canvas, and one scale for both axes; then a crop that avoids cutting words, resized to fit the
canvas. The crop depends only on the polygons, so no pixel is touched before it is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Float64, Int


class Geometry(NamedTuple):
    """A flip, a rotation and a scale.

    Attributes:
        flip: whether the image is mirrored left to right.
        angle: degrees, counter-clockwise on the screen.
        scale: factor for both sides.
    """

    flip: bool
    angle: float
    scale: float


class Crop(NamedTuple):
    """A rectangle in an image: upper left corner and size, pixels."""

    x: int
    y: int
    width: int
    height: int


def draw_geometry(
    rng: np.random.Generator,
    *,
    flip: float,
    rotate: tuple[float, float],
    scale: tuple[float, float],
) -> Geometry:
    """Samples the geometry of one sample.

    Args:
        rng: random generator.
        flip: probability of a flip.
        rotate: (lowest, highest) angle in degrees; uniform in between.
        scale: (lowest, highest) factor; uniform in between.
    """
    # All three are always drawn, also when an option is off: the generator is shared, and what
    # follows must get the same numbers.
    return Geometry(
        bool(rng.random() < flip), float(rng.uniform(*rotate)), float(rng.uniform(*scale))
    )


def move_polygons(
    polygons: Iterable[Float[np.ndarray, "_ 2"]], height: int, width: int, geometry: Geometry
) -> tuple[list[Float32[np.ndarray, "_ 2"]], tuple[int, int]]:
    """`(polygons, (height, width))` after flip, rotation and scale.

    Rotation does not grow the canvas; scaled sides are int(side x scale), at least 1 pixel.
    Polygons, float32 `[P, 2]` each, are not clipped.
    """
    flip, angle, scale = geometry
    # In float64, so that the rounding errors of three steps do not add up.
    polygons = [np.asarray(polygon, np.float64) for polygon in polygons]
    if flip:  # pixel centres are mirrored: column 0 becomes column W - 1
        polygons = [polygon * [-1, 1] + [width - 1, 0] for polygon in polygons]
    if angle:
        turn = rotation(height, width, angle)
        polygons = [polygon @ turn[:, :2].T + turn[:, 2] for polygon in polygons]
    if scale != 1.0:
        polygons = [polygon * scale for polygon in polygons]
    return [polygon.astype(np.float32) for polygon in polygons], scaled(height, width, scale)


def scaled(height: int, width: int, scale: float) -> tuple[int, int]:
    """(height, width) of an image after scaling, at least 1 pixel each."""
    return max(1, int(height * scale)), max(1, int(width * scale))


def rotation(height: int, width: int, angle: float) -> Float64[np.ndarray, "2 3"]:
    """Affine matrix of a rotation about the image's centre by `angle` degrees."""
    return cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)


def choose_crop(
    rng: np.random.Generator,
    polygons: Iterable[Float[np.ndarray, "_ 2"]],
    ignore: Iterable[bool],
    height: int,
    width: int,
    *,
    tries: int,
    min_side: float,
    wordless: str = "whole",
) -> Crop:
    """A random rectangle whose edges cut no word.

    Its edges lie on random rows and columns that no word covers. It touches a word and takes up at
    least `min_side` of the image's height and width. Ignored words may be cut. If `tries` attempts
    give no such rectangle, the crop is the whole image.

    PaddleOCR's search (EAST's random crop) is reproduced with its quirks. A word that reaches over
    the left or upper edge is protected only where a slice from a negative index covers it, and the
    last of several runs of free rows or columns is never used.

    Args:
        rng: random generator.
        polygons: float32 `[P, 2]` each, (x, y) in pixels.
        ignore: bool per polygon.
        height, width: of the image, pixels.
        tries: attempts.
        min_side: smallest crop, as a share of the image's sides.
        wordless: what to do in an image whose words are all ignored: "whole", keep the whole
            image, as published, or "random", a random rectangle that need not touch a word.
    """
    whole = Crop(0, 0, width, height)
    words = [p for p, ignored in zip(polygons, ignore, strict=True) if not ignored]
    if not words and wordless == "whole":
        return whole
    columns, rows = _free(words, 0, width), _free(words, 1, height)
    if not len(columns) or not len(rows):  # words everywhere: any edge would cut one
        return whole
    column_runs, row_runs = _runs(columns), _runs(rows)
    boxes = np.array([[*word.min(0), *word.max(0)] for word in words]).reshape(-1, 4)
    for _ in range(tries):
        left, right = _draw_pair(rng, columns, column_runs, width)
        top, bottom = _draw_pair(rng, rows, row_runs, height)
        if right - left < min_side * width or bottom - top < min_side * height:
            continue
        # The free rows and columns ensure that no word is cut; what is left to check is that the
        # rectangle holds a word at all.
        outside = (boxes[:, 2] < left) | (boxes[:, 0] > right)
        outside |= (boxes[:, 3] < top) | (boxes[:, 1] > bottom)
        if not (words and outside.all()):
            return Crop(left, top, right - left, bottom - top)
    return whole


def _free(words: Sequence[np.ndarray], axis: int, length: int) -> Int[np.ndarray, " n"]:
    """The columns (axis 0) or rows (axis 1) that no word covers."""
    covered = np.zeros(length, bool)
    for word in words:
        along = np.round(word[:, axis]).astype(np.int32)
        # The slice leaves the word's last row or column free, and negative starts count from the
        # end; both as in PaddleOCR.
        covered[along.min() : along.max()] = True
    return np.nonzero(~covered)[0]


def _runs(free: np.ndarray) -> list[np.ndarray]:
    """Runs of consecutive coordinates, without the last run: PaddleOCR loses it too."""
    return np.split(free, np.nonzero(np.diff(free) != 1)[0] + 1)[:-1]


def _draw_pair(
    rng: np.random.Generator, free: np.ndarray, runs: Sequence[np.ndarray], length: int
) -> tuple[int, int]:
    """Two random free coordinates in ascending order.

    With several runs each coordinate comes from a run chosen at random, so that a wide margin does
    not get every draw; otherwise both come from all free coordinates.
    """
    if len(runs) > 1:
        chosen = [runs[index] for index in rng.integers(len(runs), size=2)]
        pair = [int(run[rng.integers(len(run))]) for run in chosen]
    else:
        pair = [int(free[index]) for index in rng.integers(len(free), size=2)]
        pair = [min(max(value, 0), length - 1) for value in pair]
    return min(pair), max(pair)


def crop_polygons(
    polygons: Iterable[Float[np.ndarray, "_ 2"]],
    ignore: Iterable[bool],
    crop: Crop,
    size: tuple[int, int],
) -> tuple[list[Float32[np.ndarray, "_ 2"]], list[bool]]:
    """`(polygons, ignore)` inside a crop that is scaled to fit a canvas.

    Polygons completely outside the crop are dropped; the others are not clipped, since the target
    maps need their true edges.

    Args:
        polygons: float32 `[P, 2]` each, (x, y) in pixels of the image.
        ignore: bool per polygon.
        crop: rectangle of the image.
        size: (width, height) of the canvas, pixels.
    """
    x, y, width, height = crop
    scale = min(size[0] / width, size[1] / height)
    inner = fit(crop, size)
    kept, tags = [], []
    for polygon, ignored in zip(polygons, ignore, strict=True):
        moved = (np.asarray(polygon, np.float64) - [x, y]) * scale
        (left, top), (right, bottom) = moved.min(0), moved.max(0)
        # Kept if its bounding box touches the visible part, which ends before the padding.
        if right >= 0 and bottom >= 0 and left <= inner[0] and top <= inner[1]:
            kept.append(moved.astype(np.float32))
            tags.append(bool(ignored))
    return kept, tags


def fit(crop: Crop, size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) of a crop scaled to fit a canvas of (width, height), aspect ratio kept."""
    scale = min(size[0] / crop.width, size[1] / crop.height)
    return max(1, int(crop.width * scale)), max(1, int(crop.height * scale))
