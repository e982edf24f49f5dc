"""Copy-paste: words of another image put where no word is (PP-OCRv2, arXiv:2109.03144)."""

import cv2
import numpy as np

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
    pairs = zip(other_polygons, other_ignore, strict=True)
    candidates = [polygon for polygon, ignored in pairs if not ignored and len(polygon) == 4]
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
