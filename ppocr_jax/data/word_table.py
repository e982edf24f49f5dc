"""The words of a split by the numbers: how large they are in their pictures, in the network's eye
and in the crops of training, and how often they are too small there to be learned."""

from typing import NamedTuple

import numpy as np

from ppocr_jax.data.examples import MakeExample
from ppocr_jax.data.polygons import measure
from ppocr_jax.data.resize import plan_size
from ppocr_jax.data.words_in_crops import words_in_crop

MOST_CROPS = 2000  # that are drawn, without pixels, to see what becomes of the words
MOST_EPOCHS = 8  # of which they are


class Words(NamedTuple):
    """The words of a split that are not ignored, one row each.

    Attributes:
        place: int `[N, 2]`: index of the picture, index of the polygon in it.
        image: float `[N, 4]`, their `polygons.Shape` in pixels of the picture.
        network: the same at the size of evaluation.
    """

    place: np.ndarray
    image: np.ndarray
    network: np.ndarray


class CropLooks(NamedTuple):
    """What the crops of training show of `Words`.

    Attributes:
        crops: how many were drawn.
        shapes: float `[M, 4]`, `polygons.Shape` of every word in every crop.
        counts: int `[crops]`, words to learn in each.
        seen, lost: int `[N]`, in how many crops a word was, and in how many it was too small.
    """

    crops: int
    shapes: np.ndarray
    counts: np.ndarray
    seen: np.ndarray
    lost: np.ndarray


def tabulate(samples, sizes, config):
    """`Words` of labelled pictures.

    Args:
        samples: list of `labels.Sample`.
        sizes: `(height, width)` of each picture.
        config: a whole config; `eval.limit_side` and `eval.limit_type` are read.
    """
    limits = {key: config.eval[key] for key in ("limit_side", "limit_type")}
    places, image, network = [], [], []
    for number, (sample, size) in enumerate(zip(samples, sizes, strict=True)):
        scale = np.array(plan_size(*size, **limits))[::-1] / np.array(size)[::-1]
        for index, polygon in enumerate(sample.polygons):
            if not sample.ignore[index]:
                places.append((number, index))
                image.append(measure(polygon))
                network.append(measure(polygon * scale))
    return Words(_rows(places, 2, int), _rows(image), _rows(network))


def look_through_crops(words, samples, sizes, config):
    """`CropLooks` of a training split, from the crops of its first epochs.

    Args:
        words: `Words` of these samples.
        samples, sizes: as in `tabulate`.
        config: a whole config.
    """
    make = MakeExample(samples, config)
    row_of = {tuple(place): row for row, place in enumerate(words.place.tolist())}
    seen, lost = np.zeros((2, len(words.place)), int)
    shapes, counts = [], []
    for key in _choose_keys(len(samples)):
        crop = words_in_crop(make, key, sizes[key[1]])
        rows = [row_of[key[1], index] for index in crop.index.tolist()]
        seen[rows] += 1
        lost[rows] += crop.lost
        shapes += map(measure, crop.polygons)
        counts.append(int((~crop.lost).sum()))
    return CropLooks(len(counts), _rows(shapes), np.array(counts, int), seen, lost)


def _choose_keys(total):
    """(epoch, record, occurrence) of the crops: every record in some epochs, or some records."""
    epochs = min(MOST_EPOCHS, max(1, MOST_CROPS // max(1, total)))
    step = -(-total // MOST_CROPS)
    return [(epoch, record, 0) for epoch in range(epochs) for record in range(0, total, step or 1)]


def _rows(values, columns=4, kind=float):
    return np.array(values, kind).reshape(-1, columns)
