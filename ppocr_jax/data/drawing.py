"""Draws the crop of a flipped, rotated and scaled image in one or two resamplings.

Matrices are `[3, 3]`, act on (x, y, 1), and are composed right to left: rotation, scale, shift to
the crop, resize to the canvas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from ppocr_jax.data.geometry import Crop, Geometry, fit, rotation, scaled

if TYPE_CHECKING:
    from jaxtyping import Float64, UInt8


def draw_view(
    image: UInt8[np.ndarray, "H W 3"], geometry: Geometry, crop: Crop, size: tuple[int, int]
) -> UInt8[np.ndarray, "height width 3"]:
    """The crop of the flipped, rotated and scaled image, fitted into a canvas.

    Only pixels of the crop are computed. The loss of detail is part of the augmentation and is
    kept: an image that is scaled down is first drawn at that size, and an image that is enlarged is
    first rotated at its original size.

    Args:
        image: uint8 `[H, W, 3]`.
        geometry: flip, rotation and scale.
        crop: rectangle in the transformed image.
        size: (width, height) of the canvas, pixels.

    Returns:
        uint8 `[height, width, 3]`, bilinear. Padding to the right of the fitted crop and below it
        is black, and so is what the rotated image does not cover.
    """
    height, width = image.shape[:2]
    inner = fit(crop, size)
    rows, columns = scaled(height, width, geometry.scale)
    # The scales that act are those of the rounded sides, not `geometry.scale` itself.
    turn = _turn(height, width, geometry)
    scale = _stretch(columns / width, rows / height)
    move = np.array([[1, 0, -crop.x], [0, 1, -crop.y], [0, 0, 1]], np.float64)
    to_canvas = _stretch(inner[0] / crop.width, inner[1] / crop.height)
    if geometry.scale < 1.0:  # scaled down: draw the crop at that size, then resize to the canvas
        part = _warp(image, move @ scale @ turn, (crop.width, crop.height))
        part = cv2.resize(part, inner, interpolation=cv2.INTER_LINEAR)
    elif inner[0] * columns < crop.width * width:  # smaller than the original: one resampling
        part = _warp(image, to_canvas @ move @ scale @ turn, inner)
    else:  # larger than the original: rotate first, then enlarge
        part = _enlarge(image, turn, to_canvas @ move @ scale, inner)
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    canvas[: inner[1], : inner[0]] = part
    return canvas


def _enlarge(
    image: np.ndarray, turn: np.ndarray, enlarge: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Part of the image, rotated at its original size and then enlarged to (width, height)."""
    height, width = image.shape[:2]
    # The source window of the canvas: half a pixel beyond its first and last pixel centres.
    left, top = np.floor(_corner(enlarge, -0.5, -0.5)).astype(int).clip(0)
    right, bottom = np.ceil(_corner(enlarge, size[0] - 0.5, size[1] - 0.5)).astype(int) + 1
    window = _window(image, turn, left, top, min(right, width), min(bottom, height))
    enlarge = enlarge @ np.array([[1, 0, left], [0, 1, top], [0, 0, 1]], np.float64)
    return _warp(window, enlarge, size, cv2.BORDER_REPLICATE)


def _turn(height: int, width: int, geometry: Geometry) -> Float64[np.ndarray, "3 3"]:
    """The matrix of flip and rotation."""
    turn = np.eye(3)
    if geometry.flip:
        turn = np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1]], np.float64)
    if geometry.angle:
        turn = np.vstack([rotation(height, width, geometry.angle), [0, 0, 1]]) @ turn
    return turn


def _stretch(across: float, down: float) -> Float64[np.ndarray, "3 3"]:
    """The matrix of a resize, which maps pixel centres: x' = (x + 1/2) * factor - 1/2."""
    return np.array([[across, 0, across / 2 - 0.5], [0, down, down / 2 - 0.5], [0, 0, 1]])


def _corner(matrix: np.ndarray, x: float, y: float) -> Float64[np.ndarray, " 2"]:
    """The source (x, y) of a point of the drawn image."""
    return np.linalg.solve(matrix, [x, y, 1.0])[:2]


def _window(
    image: np.ndarray, turn: np.ndarray, left: int, top: int, right: int, bottom: int
) -> np.ndarray:
    """A rectangle of the rotated image."""
    if (turn == np.eye(3)).all():  # neither flip nor rotation: a view, without resampling
        return image[top:bottom, left:right]
    move = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]], np.float64)
    return _warp(image, move @ turn, (int(right - left), int(bottom - top)))


def _warp(
    image: np.ndarray,
    matrix: np.ndarray,
    size: tuple[int, int],
    border: int = cv2.BORDER_CONSTANT,
) -> np.ndarray:
    """Bilinear affine warp to (width, height) `size`."""
    return cv2.warpAffine(image, matrix[:2], size, flags=cv2.INTER_LINEAR, borderMode=border)
