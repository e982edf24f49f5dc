"""Cuts found boxes out of their image: one upright picture per box, for a text recogniser."""

import os
import pathlib
from collections.abc import Sequence

import cv2
import numpy as np

from ppocr_jax.data.polygons import box_around
from ppocr_jax.data.resize import read_image
from ppocr_jax.files import naming

HIGH = 1.5  # height / width from which text is assumed to run vertically, as in PaddleOCR


def cut_out(image: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """The inside of a polygon, straightened by a perspective transform.

    Args:
        image: uint8 `[H, W, 3]`.
        polygon: `[P, 2]`, (x, y). Four points are the corners, clockwise from the upper left; more
            are replaced by the smallest rotated rectangle around them.

    Returns:
        uint8 `[h, w, 3]`, where each side is the longer of the two opposite sides, at least 1. A
        crop `HIGH` times as high as wide is rotated by 90 degrees to the left, which PaddleOCR's
        recognisers expect.
    """
    points = np.asarray(polygon, np.float32)
    corners = points if len(points) == 4 else box_around(points)[0]
    # Opposite sides of a quadrilateral differ; the longer one keeps all the detail.
    sides = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    width, height = (max(1, round(float(max(sides[i], sides[i + 2])))) for i in (0, 1))
    if cv2.contourArea(corners) < 1:  # a line: the transform would be singular
        left, top = np.clip(corners.min(0).astype(int), 0, np.array(image.shape[1::-1]) - 1)
        crop = image[top : top + height, left : left + width]
    else:
        target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        crop = cv2.warpPerspective(
            image,
            cv2.getPerspectiveTransform(corners, target),
            (width, height),
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,  # boxes may reach beyond the image
        )
    return cv2.rotate(crop, cv2.ROTATE_90_COUNTERCLOCKWISE) if height >= HIGH * width else crop


def save_crops(
    folder: pathlib.Path,
    stem: str,
    image_path: str | os.PathLike[str],
    polygons: Sequence[np.ndarray],
) -> list[str]:
    """Writes `<stem>_<number>.png` for each polygon, counted from 0.

    Args:
        folder: where to write; it exists.
        stem: what the names begin with.
        image_path: of the image.
        polygons: `[P, 2]` each, in the image's pixels.

    Returns:
        The names of the files.

    Raises:
        UserError: the image cannot be read, or a file cannot be written.
    """

    def save(image: np.ndarray) -> list[str]:
        names = [f"{stem}_{number}.png" for number in range(len(polygons))]
        for name, polygon in zip(names, polygons, strict=True):
            with naming(folder / name):
                # No fsync per file: the file that lists them appears only after the last one.
                data = cv2.imencode(".png", cut_out(image, polygon))[1]
                (folder / name).write_bytes(data.tobytes())
        return names

    return read_image(image_path, save) if len(polygons) else []
