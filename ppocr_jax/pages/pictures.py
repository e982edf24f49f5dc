"""Pictures for people: what a network found beside what was labelled."""

import pathlib

import cv2
import numpy as np

from ppocr_jax.data.resize import read_image
from ppocr_jax.errors import UserError
from ppocr_jax.files import write_bytes

LABELLED, IGNORED, FOUND = (60, 200, 60), (160, 160, 160), (40, 80, 255)  # BGR
JPEG_SIDE = 65500  # pixels: no side of a JPEG is longer
MOST_STEM = 200  # bytes of a name that something is added to: file systems take 255


def draw_polygons(image, polygons, colour):
    """Draws closed outlines into a BGR image: two pixels wide, more on a large page."""
    width = max(2, round(max(image.shape[:2]) / 800))
    for polygon in polygons:
        points = np.round(polygon).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(image, [points], True, colour, width, cv2.LINE_AA)


def draw_labels(image, sample):
    """Draws the polygons of its sample into a BGR image, the ignored ones in grey."""
    pairs = list(zip(sample.polygons, sample.ignore, strict=True))
    draw_polygons(image, [polygon for polygon, ignore in pairs if ignore], IGNORED)
    draw_polygons(image, [polygon for polygon, ignore in pairs if not ignore], LABELLED)


def beside(image, sample, polygons):
    """A new image: labels on the left (grey: ignored), what was found on the right."""
    width = image.shape[1]
    pair = np.concatenate([image, image], axis=1)
    draw_labels(pair[:, :width], sample)
    draw_polygons(pair[:, width:], polygons, FOUND)
    return pair


def save_picture(path, image_path, polygons, sample=None):
    """Writes an image with what was found in it, as JPEG; labels beside it where there are any.

    Args:
        path: of the picture.
        image_path: of the image.
        polygons: `[P, 2]` each, in the image's pixels.
        sample: `data.labels.Sample` of the image, or None.
    """

    def draw(image):
        if sample is None:
            draw_polygons(image, polygons, FOUND)
        else:
            image = beside(image, sample, polygons)
        shrink = JPEG_SIDE / max(image.shape[:2])
        if shrink < 1:
            size = [max(1, int(side * shrink)) for side in image.shape[1::-1]]
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]

    write_bytes(path, read_image(image_path, draw).tobytes())


def picture_names(paths):
    """A file name for each image's picture: its own with `.jpg`, numbered where that is taken."""
    names, taken = [], set()
    for path in paths:
        stem = pathlib.Path(path).stem.encode()[:MOST_STEM].decode(errors="ignore")
        name, count = f"{stem}.jpg", 1
        while name.lower() in taken:  # some file systems do not tell a.jpg from A.jpg
            count += 1
            name = f"{stem}-{count}.jpg"
        taken.add(name.lower())
        names.append(name)
    return names


def save_predictions(path, outcomes, width=1200):
    """Writes a PNG with one row per image, `width` pixels wide and at most twice as high.

    Returns:
        Whether there was anything to draw.
    """
    rows = list(draw_rows(outcomes, width))
    if rows:
        write_bytes(path, cv2.imencode(".png", np.concatenate(rows))[1].tobytes())
    return bool(rows)


def draw_rows(outcomes, width):
    """For each image that can be read, labels beside what was found: uint8 `[H, width, 3]` BGR."""
    for outcome in outcomes:
        try:
            yield read_image(outcome.sample.image_path, lambda i, o=outcome: _row(i, o, width))
        except UserError:
            continue  # the evaluation has already named this file


def _row(image, outcome, width):
    """Labels and finds of an image in a row; on a black ground where it is high and thin."""
    pair = beside(image, outcome.sample, outcome.polygons)
    height = max(1, round(pair.shape[0] * width / pair.shape[1]))
    if height <= 2 * width:
        return cv2.resize(pair, (width, height), interpolation=cv2.INTER_AREA)
    row = np.zeros((2 * width, width, 3), np.uint8)
    narrow = max(1, round(pair.shape[1] * 2 * width / pair.shape[0]))
    row[:, :narrow] = cv2.resize(pair, (narrow, 2 * width), interpolation=cv2.INTER_AREA)
    return row
