"""Pictures for people: what a network found beside what was labelled."""

import cv2
import numpy as np
from etils import epath

from ppocr_jax.data.resize import read_image
from ppocr_jax.errors import UserError

LABELLED, IGNORED, FOUND = (60, 200, 60), (160, 160, 160), (40, 80, 255)  # BGR


def draw_polygons(image, polygons, colour):
    """A copy of a BGR image with closed outlines, two pixels wide."""
    image = image.copy()
    for polygon in polygons:
        points = np.round(polygon).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(image, [points], True, colour, 2, cv2.LINE_AA)
    return image


def beside(outcome):
    """Labels on the left (grey: ignored), what was found on the right."""
    image = read_image(outcome.sample.image_path)
    left = image
    for polygon, ignore in zip(outcome.sample.polygons, outcome.sample.ignore, strict=True):
        left = draw_polygons(left, [polygon], IGNORED if ignore else LABELLED)
    return np.concatenate([left, draw_polygons(image, outcome.polygons, FOUND)], axis=1)


def save_predictions(path, outcomes, width=1200):
    """Writes a PNG with one row per image, `width` pixels wide.

    Returns:
        Whether there was anything to draw.
    """
    rows = []
    for outcome in outcomes:
        try:
            pair = beside(outcome)
        except UserError:
            continue  # the evaluation has already named this file
        height = max(1, round(pair.shape[0] * width / pair.shape[1]))
        rows.append(cv2.resize(pair, (width, height), interpolation=cv2.INTER_AREA))
    if rows:
        epath.Path(path).write_bytes(cv2.imencode(".png", np.concatenate(rows))[1].tobytes())
    return bool(rows)
