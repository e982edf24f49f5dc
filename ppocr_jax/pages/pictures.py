"""Draws what a network found next to what was labelled."""

import functools
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ppocr_jax.data.resize import read_image
from ppocr_jax.data.sample import Sample
from ppocr_jax.errors import UserError
from ppocr_jax.files import write_bytes

if TYPE_CHECKING:
    from ppocr_jax.scoring.evaluation import Outcome  # imports JAX

LABELLED, IGNORED, FOUND = (60, 200, 60), (160, 160, 160), (40, 80, 255)  # BGR
JPEG_SIDE = 65500  # pixels, the longest side that a JPEG can have
MOST_STEM = 200  # bytes of a name before its ending and a number; file systems allow 255


def draw_polygons(
    image: np.ndarray, polygons: Iterable[np.ndarray], colour: tuple[int, int, int]
) -> None:
    """Draws closed outlines into a BGR image: two pixels wide, wider on a large page."""
    width = max(2, round(max(image.shape[:2]) / 800))
    for polygon in polygons:
        points = np.round(polygon).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(image, [points], True, colour, width, cv2.LINE_AA)


def draw_labels(image: np.ndarray, sample: Sample) -> None:
    """Draws the labels of a sample into its BGR image, ignored ones in grey."""
    pairs = list(zip(sample.polygons, sample.ignore, strict=True))
    draw_polygons(image, [polygon for polygon, ignore in pairs if ignore], IGNORED)
    draw_polygons(image, [polygon for polygon, ignore in pairs if not ignore], LABELLED)


def beside(image: np.ndarray, sample: Sample, polygons: Iterable[np.ndarray]) -> np.ndarray:
    """The image twice, uint8 `[H, 2 W, 3]`: with its labels, and with what was found."""
    width = image.shape[1]
    pair = np.concatenate([image, image], axis=1)
    draw_labels(pair[:, :width], sample)
    draw_polygons(pair[:, width:], polygons, FOUND)
    return pair


def save_picture(
    path: str | os.PathLike[str],
    image_path: str | os.PathLike[str],
    polygons: Sequence[np.ndarray],
    sample: Sample | None = None,
) -> None:
    """Writes an image with what was found in it as JPEG, next to its labels if there are any.

    Args:
        path: of the picture.
        image_path: of the image.
        polygons: `[P, 2]` each, in the image's pixels.
        sample: the labels of the image.

    Raises:
        UserError: the image cannot be read.
    """

    def draw(image: np.ndarray) -> np.ndarray:
        if sample is None:
            draw_polygons(image, polygons, FOUND)
        else:
            image = beside(image, sample, polygons)
        # A long page beside its labels may exceed what a JPEG can hold.
        shrink = JPEG_SIDE / max(image.shape[:2])
        if shrink < 1:
            size = [max(1, int(side * shrink)) for side in image.shape[1::-1]]
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]

    write_bytes(path, read_image(image_path, draw).tobytes())


def picture_names(paths: Iterable[str | os.PathLike[str]]) -> list[str]:
    """A unique file name per image: its own name with `.jpg`, with a number if that is taken."""
    names: list[str] = []
    taken: set[str] = set()
    for path in paths:
        stem = pathlib.Path(path).stem.encode()[:MOST_STEM].decode(errors="ignore")
        name, count = f"{stem}.jpg", 1
        while name.lower() in taken:  # on some file systems a.jpg and A.jpg are one file
            count += 1
            name = f"{stem}-{count}.jpg"
        taken.add(name.lower())
        names.append(name)
    return names


def save_predictions(
    path: str | os.PathLike[str], outcomes: "Iterable[Outcome]", width: int = 1200
) -> bool:
    """Writes a PNG with one row per image: labels on the left, what was found on the right.

    Args:
        path: of the PNG.
        outcomes: of the images.
        width: pixels of a row, which is at most twice as high.

    Returns:
        Whether there was anything to draw.
    """
    rows = list(draw_rows(outcomes, width))
    if rows:
        write_bytes(path, cv2.imencode(".png", np.concatenate(rows))[1].tobytes())
    return bool(rows)


def draw_rows(outcomes: "Iterable[Outcome]", width: int) -> Iterator[np.ndarray]:
    """Yields the row of each readable image, see `save_predictions`; uint8 `[H, width, 3]` BGR."""
    for outcome in outcomes:
        try:
            draw = functools.partial(_row, outcome=outcome, width=width)
            yield read_image(outcome.sample.image_path, draw)
        except UserError:
            continue  # the evaluation has already reported this file


def _row(image: np.ndarray, outcome: "Outcome", width: int) -> np.ndarray:
    """The row of one image; a tall and narrow one is padded with black on the right."""
    pair = beside(image, outcome.sample, outcome.polygons)
    height = max(1, round(pair.shape[0] * width / pair.shape[1]))
    if height <= 2 * width:
        return cv2.resize(pair, (width, height), interpolation=cv2.INTER_AREA)
    row = np.zeros((2 * width, width, 3), np.uint8)
    narrow = max(1, round(pair.shape[1] * 2 * width / pair.shape[0]))
    row[:, :narrow] = cv2.resize(pair, (narrow, 2 * width), interpolation=cv2.INTER_AREA)
    return row
