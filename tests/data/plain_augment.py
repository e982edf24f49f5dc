"""The image's way through augmentation one step after the other, as it is recorded.

This is the specification that `ppocr_jax.data.augment.draw_view` is held against.
"""

import cv2
import numpy as np


def apply_geometry(image, geometry):
    """The image flipped, turned and scaled; content that leaves the canvas is lost.

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
    """The crop scaled to fit a canvas of (width, height), black to its right and below."""
    x, y, width, height = crop
    scale = min(size[0] / width, size[1] / height)
    inner = max(1, int(width * scale)), max(1, int(height * scale))
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    part = image[y : y + height, x : x + width]
    canvas[: inner[1], : inner[0]] = cv2.resize(part, inner, interpolation=cv2.INTER_LINEAR)
    return canvas
