"""Copy-paste augmentation: words of another image in free places (PP-OCRv2, arXiv:2109.03144)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32, Float64, UInt8

MAX_PASTED = 30  # words per image
PLACE_TRIES = 50  # random places tried per word


def paste_words(
    rng: np.random.Generator,
    image: UInt8[np.ndarray, "H W 3"],
    polygons: Sequence[Float[np.ndarray, "_ 2"]],
    ignore: Sequence[bool],
    other: UInt8[np.ndarray, "H2 W2 3"],
    other_polygons: Sequence[Float[np.ndarray, "_ 2"]],
    other_ignore: Sequence[bool],
    ratio: float = 0.2,
) -> tuple[UInt8[np.ndarray, "H W 3"], list[Float32[np.ndarray, "_ 2"]], list[bool]]:
    """Pastes words of another image into free places of this one.

    Takes a share `ratio` of the other image's words, at least 1 and at most `MAX_PASTED`. Each is
    straightened, rotated by a random angle in whole degrees and placed where its bounding box
    touches no other. A word that finds no place in `PLACE_TRIES` attempts is left out. Only quads
    that are not ignored are used.

    Args:
        rng: random generator.
        image: uint8 `[H, W, 3]`, what the words are pasted onto; not modified.
        polygons: float32 `[P, 2]` each, the words of `image`; not modified.
        ignore: bool per polygon.
        other: uint8 `[H2, W2, 3]`, where the pasted words come from.
        other_polygons, other_ignore: its words, as `polygons` and `ignore`.
        ratio: share of the other image's words to paste.

    Returns:
        `(image, polygons, ignore)` with the pasted words added, polygons clipped to the image.
    """
    height, width = image.shape[:2]
    image, polygons, ignore = image.copy(), list(polygons), list(ignore)
    pairs = zip(other_polygons, other_ignore, strict=True)
    candidates = [polygon for polygon, ignored in pairs if not ignored and len(polygon) == 4]
    # The share is of all words of the other image, ignored ones included, as in PaddleOCR.
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
        # Only pixels of the word itself: the corners around a rotated word stay background.
        window = image[y : y + word.shape[0], x : x + word.shape[1]]
        window[alpha] = word[alpha]
        placed = (corners + [x, y]).astype(np.float32)
        polygons.append(placed)
        ignore.append(False)
        boxes.append(np.concatenate([placed.min(0), placed.max(0)]))
    limit = np.array([width, height], np.float32)
    return image, [np.clip(p, 0, limit).astype(np.float32) for p in polygons], ignore


def straighten(
    image: UInt8[np.ndarray, "H W 3"], quad: Float[np.ndarray, "4 2"]
) -> UInt8[np.ndarray, "h w 3"] | None:
    """The content of a quad as an upright rectangle; None if it has no area.

    A rectangle at least 1.5 times as high as it is wide is rotated by 90 degrees: vertical text.
    """
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


def turn_word(
    word: UInt8[np.ndarray, "h0 w0 3"], angle: float
) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"], Float64[np.ndarray, "4 2"]]:
    """Rotates a word by `angle` degrees on a canvas that grows to hold it.

    Nearest neighbour, so that alpha is either 0 or 1 and no background bleeds into the word.

    Returns:
        `(image, alpha, corners)`: uint8 `[h, w, 3]`; bool `[h, w]`, True inside the word; float64
        `[4, 2]`, its corners (x, y) on the canvas.
    """
    height, width = word.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    corners = corners @ turn[:, :2].T + turn[:, 2]
    shift = corners.min(0)
    turn[:, 2] -= shift
    corners -= shift
    # The small tolerance keeps rounding errors from adding a row or a column at 90 degrees.
    across, down = (int(n) for n in np.ceil(corners.max(0) - 1e-6))
    size = max(1, across), max(1, down)
    turned = cv2.warpAffine(word, turn, size, flags=cv2.INTER_NEAREST)
    inside = np.ones((height, width), np.uint8)
    alpha = cv2.warpAffine(inside, turn, size, flags=cv2.INTER_NEAREST).astype(bool)
    return turned, alpha, corners


def _find_spot(
    rng: np.random.Generator,
    corners: np.ndarray,
    shape: tuple[int, ...],
    height: int,
    width: int,
    boxes: Sequence[np.ndarray],
) -> tuple[int, int] | None:
    """Upper left corner (x, y) of a free place for a word of `shape`, or None."""
    if shape[0] > height or shape[1] > width:
        return None
    low, high = corners.min(0), corners.max(0)
    taken = np.array(boxes).reshape(-1, 4)  # left, top, right, bottom
    for _ in range(PLACE_TRIES):
        x = int(rng.integers(width - shape[1] + 1))
        y = int(rng.integers(height - shape[0] + 1))
        apart = (taken[:, 2] < x + low[0]) | (taken[:, 0] > x + high[0])
        apart |= (taken[:, 3] < y + low[1]) | (taken[:, 1] > y + high[1])
        if apart.all():
            return x, y
    return None
