"""The crop of a flipped, turned and scaled image, drawn in one or two resamplings."""

import cv2
import numpy as np

from ppocr_jax.data.geometry import fit, rotation, scaled


def draw_view(image, geometry, crop, size):
    """The crop of the flipped, turned and scaled image, fitted into a canvas.

    Only pixels of the crop are computed, in one or two resamplings. Detail that is lost on the
    way is part of the augmentation and stays lost: an image that is made smaller first is drawn
    at that size, one that is enlarged is turned at its own size.

    Args:
        image: uint8 `[H, W, 3]`.
        geometry, crop: see `data.geometry`.
        size: (width, height) of the canvas, pixels.

    Returns:
        uint8 `[height, width, 3]`; bilinear, black to the right of the fitted crop, below it and
        where the turned image does not reach.
    """
    height, width = image.shape[:2]
    inner = fit(crop, size)
    rows, columns = scaled(height, width, geometry.scale)
    turn = _turn(height, width, geometry)
    scale = _stretch(columns / width, rows / height)
    move = np.array([[1, 0, -crop.x], [0, 1, -crop.y], [0, 0, 1]], np.float64)
    to_canvas = _stretch(inner[0] / crop.width, inner[1] / crop.height)
    if geometry.scale < 1.0:
        part = _warp(image, move @ scale @ turn, (crop.width, crop.height))
        part = cv2.resize(part, inner, interpolation=cv2.INTER_LINEAR)
    elif inner[0] * columns < crop.width * width:  # smaller than it was
        part = _warp(image, to_canvas @ move @ scale @ turn, inner)
    else:
        part = _enlarge(image, turn, to_canvas @ move @ scale, inner)
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    canvas[: inner[1], : inner[0]] = part
    return canvas


def _enlarge(image, turn, enlarge, size):
    """Part of the image turned at its own size, then enlarged to (width, height) `size`."""
    height, width = image.shape[:2]
    left, top = np.floor(_corner(enlarge, -0.5, -0.5)).astype(int).clip(0)
    right, bottom = np.ceil(_corner(enlarge, size[0] - 0.5, size[1] - 0.5)).astype(int) + 1
    window = _window(image, turn, left, top, min(right, width), min(bottom, height))
    enlarge = enlarge @ np.array([[1, 0, left], [0, 1, top], [0, 0, 1]], np.float64)
    return _warp(window, enlarge, size, cv2.BORDER_REPLICATE)


def _turn(height, width, geometry):
    """Flip and rotation, `[3, 3]`."""
    turn = np.eye(3)
    if geometry.flip:
        turn = np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1]], np.float64)
    if geometry.angle:
        turn = np.vstack([rotation(height, width, geometry.angle), [0, 0, 1]]) @ turn
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
