"""Sizes of the words of a split: in the images, at the network's input size, and in the crops.

Also counts how often a word is too small in the crops of training to be learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ppocr_jax.data.examples import MakeExample
from ppocr_jax.data.polygons import measure
from ppocr_jax.data.resize import plan_size
from ppocr_jax.data.sample import Sample
from ppocr_jax.data.words_in_crops import words_in_crop

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from ml_collections import ConfigDict

MOST_CROPS = 2000  # crops examined; only their polygons are computed, no pixels
MOST_EPOCHS = 8  # epochs that they are from


class Words(NamedTuple):
    """The words of a split that are not ignored, one row each.

    Attributes:
        place: int `[N, 2]`: number of the image, number of the polygon in it.
        image: float `[N, 4]`: its `polygons.Shape` in pixels of the image.
        network: float `[N, 4]`: the same at the network's input size in evaluation.
    """

    place: Int[np.ndarray, "N 2"]
    image: Float[np.ndarray, "N 4"]
    network: Float[np.ndarray, "N 4"]


class CropLooks(NamedTuple):
    """What training crops show of N words.

    Attributes:
        crops: number of crops.
        shapes: float `[M, 4]`: the `polygons.Shape` of every word in every crop.
        counts: int `[crops]`: words to learn in each crop.
        seen: int `[N]`: number of crops that show a word.
        lost: int `[N]`: number of crops in which it is too small.
    """

    crops: int
    shapes: Float[np.ndarray, "M 4"]
    counts: Int[np.ndarray, " C"]
    seen: Int[np.ndarray, " N"]
    lost: Int[np.ndarray, " N"]


def tabulate(
    samples: Sequence[Sample], sizes: Sequence[Sequence[int]], config: ConfigDict
) -> Words:
    """The `Words` of labelled images.

    Args:
        samples: the images.
        sizes: (height, width) of each image, pixels.
        config: a whole config; `eval.limit_side` and `eval.limit_type` are read.
    """
    limits = {key: config.eval[key] for key in ("limit_side", "limit_type")}
    places: list[tuple[int, int]] = []
    image: list[tuple[float, ...]] = []
    network: list[tuple[float, ...]] = []
    for number, (sample, size) in enumerate(zip(samples, sizes, strict=True)):
        height, width = size
        scale = np.array(plan_size(height, width, **limits))[::-1] / np.array(size)[::-1]
        for index, polygon in enumerate(sample.polygons):
            if not sample.ignore[index]:
                places.append((number, index))
                image.append(measure(polygon))
                network.append(measure(polygon * scale))
    return Words(_rows(places, 2, int), _rows(image), _rows(network))


def look_through_crops(
    words: Words,
    samples: Sequence[Sample],
    sizes: Sequence[Sequence[int]],
    config: ConfigDict,
) -> CropLooks:
    """What the crops of the first epochs of training show.

    Args:
        words: the words of these samples.
        samples, sizes: as in `tabulate`.
        config: a whole config.
    """
    make = MakeExample(samples, config)
    row_of = {tuple(place): row for row, place in enumerate(words.place.tolist())}
    seen, lost = np.zeros((2, len(words.place)), int)
    shapes: list[tuple[float, ...]] = []
    counts: list[int] = []
    for key in _choose_keys(len(samples)):
        height, width = sizes[key[1]]
        crop = words_in_crop(make, key, (height, width))
        rows = [row_of[key[1], index] for index in crop.numbers.tolist()]
        seen[rows] += 1
        lost[rows] += crop.lost
        shapes += map(measure, crop.polygons)
        counts.append(int((~crop.lost).sum()))
    return CropLooks(len(counts), _rows(shapes), np.array(counts, int), seen, lost)


def _choose_keys(total: int) -> list[tuple[int, int, int]]:
    """(epoch, record, occurrence) of the crops: all records in several epochs, or some in one."""
    epochs = min(MOST_EPOCHS, max(1, MOST_CROPS // max(1, total)))
    step = -(-total // MOST_CROPS)
    return [(epoch, record, 0) for epoch in range(epochs) for record in range(0, total, step or 1)]


def _rows(values: Sequence[Any], columns: int = 4, kind: type = float) -> np.ndarray:
    """An array `[N, columns]`, also for N = 0."""
    return np.array(values, kind).reshape(-1, columns)
