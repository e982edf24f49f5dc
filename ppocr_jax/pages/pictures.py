"""Pictures for people: what a network found beside what was labelled."""

import pathlib

import cv2
import numpy as np

from ppocr_jax.data.resize import read_image
from ppocr_jax.errors import UserError
from ppocr_jax.files import write_bytes

LABELLED, IGNORED, FOUND = (60, 200, 60), (160, 160, 160), (40, 80, 255)  # BGR
JPEG_SIDE = 65500  # pixels: no side of a JPEG is longer


def draw_polygons(image, polygons, colour):
    """A copy of a BGR image with closed outlines: two pixels wide, more on a large page."""
    image = image.copy()
    width = max(2, round(max(image.shape[:2]) / 800))
    for polygon in polygons:
        points = np.round(polygon).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(image, [points], True, colour, width, cv2.LINE_AA)
    return image


def draw_labels(image, sample):
    """A copy of a BGR image with the polygons of its sample, the ignored ones in grey."""
    pairs = list(zip(sample.polygons, sample.ignore, strict=True))
    image = draw_polygons(image, [polygon for polygon, ignore in pairs if ignore], IGNORED)
    return draw_polygons(image, [polygon for polygon, ignore in pairs if not ignore], LABELLED)


def beside(image, sample, polygons):
    """Labels on the left (grey: ignored), what was found on the right."""
    found = draw_polygons(image, polygons, FOUND)
    return np.concatenate([draw_labels(image, sample), found], axis=1)


def save_picture(path, image_path, polygons, sample=None):
    """Writes an image with what was found in it, as JPEG; labels beside it where there are any.

    Args:
        path: of the picture.
        image_path: of the image.
        polygons: `[P, 2]` each, in the image's pixels.
        sample: `data.labels.Sample` of the image, or None.
    """
    image = read_image(image_path)
    if sample is None:
        picture = draw_polygons(image, polygons, FOUND)
    else:
        picture = beside(image, sample, polygons)
    shrink = JPEG_SIDE / max(picture.shape[:2])
    if shrink < 1:
        size = [max(1, int(side * shrink)) for side in picture.shape[1::-1]]
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    write_bytes(path, data.tobytes())


def picture_names(paths):
    """A file name for each image's picture: its own with `.jpg`, numbered where that is taken."""
    names, taken = [], set()
    for path in paths:
        stem = pathlib.Path(path).stem
        name, count = f"{stem}.jpg", 1
        while name.lower() in taken:  # some file systems do not tell a.jpg from A.jpg
            count += 1
            name = f"{stem}-{count}.jpg"
        taken.add(name.lower())
        names.append(name)
    return names


def save_predictions(path, outcomes, width=1200):
    """Writes a PNG with one row per image, `width` pixels wide.

    Returns:
        Whether there was anything to draw.
    """
    rows = []
    for outcome in outcomes:
        try:
            image = read_image(outcome.sample.image_path)
        except UserError:
            continue  # the evaluation has already named this file
        pair = beside(image, outcome.sample, outcome.polygons)
        height = max(1, round(pair.shape[0] * width / pair.shape[1]))
        rows.append(cv2.resize(pair, (width, height), interpolation=cv2.INTER_AREA))
    if rows:
        write_bytes(path, cv2.imencode(".png", np.concatenate(rows))[1].tobytes())
    return bool(rows)
