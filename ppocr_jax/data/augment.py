"""Augmentation: what is drawn at random, then polygons moved, then pixels, once.

Every random number comes from the generator that is handed in. Geometry: flip (x' = W - 1 - x),
rotation about the centre ((W - 1) / 2, (H - 1) / 2) on an unchanged canvas, one scale for both
axes; then a crop that keeps words whole where it can, enlarged or reduced to the canvas. The crop
hangs on the polygons alone, so that no pixel is touched before it is known.
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
        turn = _rotation(height, width, angle)
        polygons = [polygon @ turn[:, :2].T + turn[:, 2] for polygon in polygons]
    if scale != 1.0:
        polygons = [polygon * scale for polygon in polygons]
    return [polygon.astype(np.float32) for polygon in polygons], scaled(height, width, scale)


def scaled(height, width, scale):
    """Sides of an image after scaling."""
    return max(1, int(height * scale)), max(1, int(width * scale))


def _rotation(height, width, angle):
    return cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)


def choose_crop(rng, polygons, ignore, height, width, *, tries, min_side):
    """A rectangle whose edges cut no word, where free rows and columns allow it.

    Rows and columns that no word covers are found; between two of them, drawn at random, lies
    the crop. It is at least `min_side` of each side and touches a word. Ignored words are not
    protected. When nothing fits in `tries` draws, the crop is the whole image.

    The published search is kept with its habits: a word that reaches over the left or upper edge
    is protected only where a slice from a negative index covers it, and of several runs of free
    rows the last takes no part.

    Returns:
        `Crop`.
    """
    whole = Crop(0, 0, width, height)
    words = [p for p, ignored in zip(polygons, ignore, strict=True) if not ignored]
    if not words:
        return whole
    columns, rows = _free(words, 0, width), _free(words, 1, height)
    if not len(columns) or not len(rows):
        return whole
    column_runs, row_runs = _runs(columns), _runs(rows)
    boxes = np.array([[*word.min(0), *word.max(0)] for word in words])
    for _ in range(tries):
        left, right = _draw_pair(rng, columns, column_runs, width)
        top, bottom = _draw_pair(rng, rows, row_runs, height)
        if right - left < min_side * width or bottom - top < min_side * height:
            continue
        outside = (boxes[:, 2] < left) | (boxes[:, 0] > right)
        outside |= (boxes[:, 3] < top) | (boxes[:, 1] > bottom)
        if not outside.all():
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
    inner = _fit(crop, size)
    kept, tags = [], []
    for polygon, ignored in zip(polygons, ignore, strict=True):
        moved = (np.asarray(polygon, np.float64) - [x, y]) * scale
        (left, top), (right, bottom) = moved.min(0), moved.max(0)
        if right >= 0 and bottom >= 0 and left <= inner[0] and top <= inner[1]:
            kept.append(moved.astype(np.float32))
            tags.append(bool(ignored))
    return kept, tags


def _fit(crop, size):
    """(width, height) of a crop scaled to fit a canvas."""
    scale = min(size[0] / crop.width, size[1] / crop.height)
    return max(1, int(crop.width * scale)), max(1, int(crop.height * scale))


def draw_view(image, geometry, crop, size):
    """The crop of the flipped, turned and scaled image, fitted into a canvas.

    Only pixels of the crop are computed, in one or two resamplings. Detail that is lost on the
    way is part of the augmentation and stays lost: an image that is made smaller first is drawn
    at that size, one that is enlarged is turned at its own size.

    Args:
        image: uint8 `[H, W, 3]`.
        geometry, crop: what `draw_geometry` and `choose_crop` gave.
        size: (width, height) of the canvas, pixels.

    Returns:
        uint8 `[height, width, 3]`; bilinear, black to the right of the fitted crop, below it and
        where the turned image does not reach.
    """
    height, width = image.shape[:2]
    inner = _fit(crop, size)
    rows, columns = scaled(height, width, geometry.scale)
    turn = _turn(height, width, geometry)
    scale = _stretch(columns / width, rows / height)
    move = np.array([[1, 0, -crop.x], [0, 1, -crop.y], [0, 0, 1]], np.float64)
    fit = _stretch(inner[0] / crop.width, inner[1] / crop.height)
    if geometry.scale < 1.0:
        part = _warp(image, move @ scale @ turn, (crop.width, crop.height))
        part = cv2.resize(part, inner, interpolation=cv2.INTER_LINEAR)
    elif inner[0] * columns < crop.width * width:  # smaller than it was
        part = _warp(image, fit @ move @ scale @ turn, inner)
    else:
        enlarge = fit @ move @ scale
        left, top = np.floor(_corner(enlarge, -0.5, -0.5)).astype(int).clip(0)
        right, bottom = np.ceil(_corner(enlarge, inner[0] - 0.5, inner[1] - 0.5)).astype(int) + 1
        window = _window(image, turn, left, top, min(right, width), min(bottom, height))
        enlarge = enlarge @ np.array([[1, 0, left], [0, 1, top], [0, 0, 1]], np.float64)
        part = _warp(window, enlarge, inner, cv2.BORDER_REPLICATE)
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    canvas[: inner[1], : inner[0]] = part
    return canvas


def _turn(height, width, geometry):
    """Flip and rotation, `[3, 3]`."""
    turn = np.eye(3)
    if geometry.flip:
        turn = np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1]], np.float64)
    if geometry.angle:
        turn = np.vstack([_rotation(height, width, geometry.angle), [0, 0, 1]]) @ turn
    return turn


def _stretch(across, down):
    """Resizing as a map of pixel centres: (x + 1/2) x factor - 1/2."""
    return np.array([[across, 0, across / 2 - 0.5], [0, down, down / 2 - 0.5], [0, 0, 1]])


def _corner(matrix, x, y):
    """Where a point of the drawn image comes from."""
    return np.linalg.solve(matrix, [x, y, 1.0])[:2]


def _window(image, turn, left, top, right, bottom):
    """A rectangle of the turned image."""
    if (turn == np.eye(3)).all():
        return image[top:bottom, left:right]
    move = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]], np.float64)
    return _warp(image, move @ turn, (int(right - left), int(bottom - top)))


def _warp(image, matrix, size, border=cv2.BORDER_CONSTANT):
    return cv2.warpAffine(image, matrix[:2], size, flags=cv2.INTER_LINEAR, borderMode=border)


MAX_PASTED = 30
PLACE_TRIES = 50


def paste_words(rng, image, polygons, ignore, other, other_polygons, other_ignore, ratio=0.2):
    """Pastes words of another image where no word is (copy-paste of PP-OCRv2's recipe).

    A fifth of the other image's words, at least one and at most 30, are straightened, turned by
    a whole angle and put where their bounding box touches no other; each tries 50 places. Only
    quads that are not ignored are taken. Pasted words are labelled.

    Args:
        rng: numpy Generator.
        image, polygons, ignore: what is pasted onto; not changed.
        other, other_polygons, other_ignore: where the words come from.
        ratio: share of the other image's words.

    Returns:
        `(image, polygons, ignore)`, polygons clipped to the image.
    """
    height, width = image.shape[:2]
    image, polygons, ignore = image.copy(), list(polygons), list(ignore)
    candidates = [
        polygon
        for polygon, ignored in zip(other_polygons, other_ignore, strict=True)
        if not ignored and len(polygon) == 4
    ]
    count = max(1, min(int(ratio * len(other_polygons)), MAX_PASTED))
    boxes = [np.concatenate([p.min(0), p.max(0)]) for p in polygons]
    for index in rng.permutation(len(candidates))[:count]:
        angle = int(rng.integers(360))
        word = straighten(other, candidates[index])
        if word is None:
            continue
        word, alpha, corners = turn_word(word, angle)
        spot = _find_spot(rng, corners, word.shape, height, width, boxes)
        if spot is None:
            continue
        x, y = spot
        window = image[y : y + word.shape[0], x : x + word.shape[1]]
        window[alpha] = word[alpha]
        placed = (corners + [x, y]).astype(np.float32)
        polygons.append(placed)
        ignore.append(False)
        boxes.append(np.concatenate([placed.min(0), placed.max(0)]))
    limit = np.array([width, height], np.float32)
    return image, [np.clip(p, 0, limit).astype(np.float32) for p in polygons], ignore


def straighten(image, quad):
    """The rectangle that a quad shows, `[h, w, 3]`; tall ones lie down. None without area."""
    quad = np.asarray(quad, np.float32)
    top, bottom = np.linalg.norm(quad[0] - quad[1]), np.linalg.norm(quad[2] - quad[3])
    left, right = np.linalg.norm(quad[0] - quad[3]), np.linalg.norm(quad[1] - quad[2])
    width, height = int(max(top, bottom)), int(max(left, right))
    if width < 1 or height < 1:
        return None
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    word = cv2.warpPerspective(
        image,
        cv2.getPerspectiveTransform(quad, target),
        (width, height),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    tall = height / width >= 1.5
    return cv2.rotate(word, cv2.ROTATE_90_COUNTERCLOCKWISE) if tall else word


def turn_word(word, angle):
    """`(image, alpha bool [h, w], corners float64 [4, 2])` of a word turned by `angle` degrees.

    The canvas grows to hold it; nearest neighbour, so that alpha is all or nothing.
    """
    height, width = word.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    corners = corners @ turn[:, :2].T + turn[:, 2]
    shift = corners.min(0)
    turn[:, 2] -= shift
    corners -= shift
    size = tuple(int(n) for n in np.ceil(corners.max(0) - 1e-6))
    size = max(1, size[0]), max(1, size[1])
    turned = cv2.warpAffine(word, turn, size, flags=cv2.INTER_NEAREST)
    inside = np.ones((height, width), np.uint8)
    alpha = cv2.warpAffine(inside, turn, size, flags=cv2.INTER_NEAREST).astype(bool)
    return turned, alpha, corners


def _find_spot(rng, corners, shape, height, width, boxes):
    """Upper left corner of a place that touches no box, or None."""
    if shape[0] > height or shape[1] > width:
        return None
    low, high = corners.min(0), corners.max(0)
    boxes = np.array(boxes).reshape(-1, 4)
    for _ in range(PLACE_TRIES):
        x = int(rng.integers(width - shape[1] + 1))
        y = int(rng.integers(height - shape[0] + 1))
        apart = (boxes[:, 2] < x + low[0]) | (boxes[:, 0] > x + high[0])
        apart |= (boxes[:, 3] < y + low[1]) | (boxes[:, 1] > y + high[1])
        if apart.all():
            return x, y
    return None
