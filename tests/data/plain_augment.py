"""Augmentation of an image one step after the other, as in the recorded reference.

This is the specification that `ppocr_jax.data.augment.draw_view` is held against.
"""

import cv2
import numpy as np


def apply_geometry(image, geometry):
    """The image flipped, rotated and scaled; content outside the canvas is lost.

    Bilinear, black outside; the new sides are int(side x scale), at least 1. Each step that
    changes nothing is left out.
    """
    flip, angle, scale = geometry
    height, width = image.shape[:2]
    if flip:
        image = cv2.flip(image, 1)
    if angle:
        turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
        image = cv2.warpAffine(image, turn, (width, height), flags=cv2.INTER_LINEAR)
    if scale != 1.0:
        size = max(1, int(width * scale)), max(1, int(height * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return image


def apply_crop(image, crop, size):
    """The crop scaled to fit a canvas of (width, height), with black padding right and below."""
    x, y, width, height = crop
    scale = min(size[0] / width, size[1] / height)
    inner = max(1, int(width * scale)), max(1, int(height * scale))
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    part = image[y : y + height, x : x + width]
    canvas[: inner[1], : inner[0]] = cv2.resize(part, inner, interpolation=cv2.INTER_LINEAR)
    return canvas


def draw_sample(rng, polygons, ignore, height, width, side):
    """One augmented sample by the published rules, one step after the other.

    Returns:
        `{"flip", "angle", "scale", "left", "top", "across", "down", "kept", "text"}`: the crop as
        shares of the scaled image, the number of words kept and their mean height in pixels.
    """
    flip, angle = rng.random() < 0.5, rng.uniform(-10, 10)
    factor = rng.uniform(0.5, 3)
    moved = []
    for polygon in polygons:
        points = []
        for x, y in polygon:
            x = width - 1 - x if flip else x
            theta = np.deg2rad(angle)
            right, down = x - (width - 1) / 2, y - (height - 1) / 2
            x = np.cos(theta) * right + np.sin(theta) * down + (width - 1) / 2
            y = np.cos(theta) * down - np.sin(theta) * right + (height - 1) / 2
            points.append((x * factor, y * factor))
        moved.append(np.array(points))
    wide, high = int(width * factor), int(height * factor)
    words = [p for p, ignored in zip(moved, ignore, strict=True) if not ignored]
    x, y, w, h = _search(rng, words, wide, high)
    fit = min(side / w, side / h)
    inner = int(w * fit), int(h * fit)
    kept = []
    for polygon in moved:
        inside = (polygon - [x, y]) * fit
        (left, top), (right, bottom) = inside.min(0), inside.max(0)
        if not (right < 0 or bottom < 0 or left > inner[0] or top > inner[1]):
            kept.append(np.linalg.norm(inside[0] - inside[-1]))
    return dict(
        flip=float(flip), angle=angle, scale=factor, left=x / wide, top=y / high,
        across=w / wide, down=h / high, kept=len(kept), text=np.mean(kept) if kept else 0.0,
    )  # fmt: skip


def _search(rng, words, wide, high):
    runs = []
    for axis, length in ((0, wide), (1, high)):
        taken = np.zeros(length, int)
        for word in words:
            along = np.round(word[:, axis]).astype(int)
            taken[min(along) : max(along)] = 1
        free, groups = [i for i in range(length) if not taken[i]], []
        if not words or not free:
            return 0, 0, wide, high
        for i in free:
            if not groups or i != groups[-1][-1] + 1:
                groups.append([])
            groups[-1].append(i)
        runs.append((free, groups[:-1]))
    for _ in range(50):
        edges = []
        for (free, groups), length in zip(runs, (wide, high), strict=True):
            if len(groups) > 1:
                ends = [rng.choice(groups[rng.integers(len(groups))]) for _ in range(2)]
            else:
                ends = [min(max(rng.choice(free), 0), length - 1) for _ in range(2)]
            edges.append(sorted(map(int, ends)))
        (left, right), (top, bottom) = edges
        if right - left < 0.1 * wide or bottom - top < 0.1 * high:
            continue
        for word in words:
            (a, b), (c, d) = word.min(0), word.max(0)
            if a <= right and c >= left and b <= bottom and d >= top:
                return left, top, right - left, bottom - top
    return 0, 0, wide, high
