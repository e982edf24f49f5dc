"""Outcomes of an evaluation without a network: labels, and maps drawn by hand."""

import cv2
import numpy as np

from ppocr_jax.data.labels import Sample
from ppocr_jax.detection.inference import Predicted
from ppocr_jax.scoring import evaluation

EVIL = 'a<b>&"q".png'


def bar(x, y, w, h):
    return np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], np.float32)


def rotated(width, height, degrees):
    return cv2.boxPoints(((60, 60), (width, height), degrees)).astype(np.float32)


def make_outcome(labels, ignore, shrink_map=None, size=(96, 96), path="x.png", **post):
    """An `evaluation.Outcome` of labels and a map; without a map, of an unreadable image."""
    sample = Sample(path, tuple(labels), tuple(ignore), "x.txt", 1)
    reason = "" if shrink_map is not None else f"{path}: not an image"
    item = Predicted(0, shrink_map, size if shrink_map is not None else (0, 0), reason)
    return evaluation.Outcome(sample, item, post)


def map_of(*bars, side=96):
    """A map with text at `(x, y, w, h, value)`."""
    shrink_map = np.zeros((side, side), np.float32)
    for x, y, w, h, value in bars:
        shrink_map[y : y + h, x : x + w] = value
    return shrink_map


def four_outcomes():
    """Two words of three found and two false boxes; an unreadable image; one without text."""
    shrink_map = map_of((14, 14, 52, 8, 0.95), (14, 54, 20, 8, 0.65), (70, 70, 9, 9, 0.85))
    labels = [bar(10, 9, 60, 18), bar(10, 49, 28, 18), bar(60, 40, 30, 10), bar(0, 85, 9, 9)]
    first = make_outcome(labels, [False, False, False, True], shrink_map, path="first.png")
    lost = make_outcome([bar(0, 0, 40, 10)] * 2, [False] * 2, path=EVIL)
    blank = make_outcome([], [], map_of((20, 20, 30, 12, 0.95)), path="blank.png")
    empty = make_outcome([], [], map_of(), path="empty.png")
    return [empty, first, blank, lost]
