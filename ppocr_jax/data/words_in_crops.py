"""Which words the crops of training show, and which of them are too small there to be learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ppocr_jax.data.augment import View, augment, generator
from ppocr_jax.data.examples import MakeExample
from ppocr_jax.data.geometry import crop_polygons, move_polygons
from ppocr_jax.data.image_files import read_size
from ppocr_jax.data.polygons import box_around
from ppocr_jax.data.sample import Sample
from ppocr_jax.data.targets import draw_shrink_map

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, Int
    from ml_collections import ConfigDict

PROBES = 100  # training images that `measure_crops` augments


class CropWords(NamedTuple):
    """The words of one crop that are not ignored.

    Attributes:
        numbers: int `[N]`, their indices among the polygons of the sample.
        polygons: float32 `[P, 2]` each, in pixels of the crop; may extend beyond it.
        lost: bool `[N]`: smaller than `min_text_size`, or vanishes when shrunk. Such a word is
            masked out and not learned.
    """

    numbers: Int[np.ndarray, " N"]
    polygons: list[Float32[np.ndarray, "_ 2"]]
    lost: Bool[np.ndarray, " N"]


def words_in_crop(make: MakeExample, key: tuple[int, int, int], size: tuple[int, int]) -> CropWords:
    """The words in the crop that training makes of a record, without reading or drawing pixels.

    With `data.augment.paste` the crop of training differs, since pasting uses random numbers too.

    Args:
        make: makes the examples of training.
        key: (epoch, record, occurrence).
        size: (height, width) of the record's image.
    """
    sample, seeds = make.samples[key[1]], (make.seed, *key)
    view = View(None, size, sample.polygons, sample.ignore)
    view = augment(view, make.job, make.make_stream(seeds, generator(seeds)))
    # `augment` drops polygons outside the crop: find out which ones, to number those left.
    moved, _ = move_polygons(sample.polygons, *size, view.geometry)
    inside = [bool(crop_polygons([p], [False], view.crop, view.size)[0]) for p in moved]
    sides = make.targets["shrink_ratio"], make.targets["min_text_size"]
    lost = draw_shrink_map(view.polygons, view.ignore, *view.size, *sides)[2]
    words = ~np.array(view.ignore, bool)
    polygons = [p for p, is_word in zip(view.polygons, words, strict=True) if is_word]
    return CropWords(np.flatnonzero(inside)[words], polygons, lost[words])


class CropSizes(NamedTuple):
    """Sizes of the words in training crops that are not ignored.

    Attributes:
        height: median of their shorter sides, pixels; NaN without a word.
        lost: share of them that is too small to be learned, 0 to 1.
        count: number of words.
    """

    height: float
    lost: float
    count: int  # type: ignore[assignment]  # hides tuple.count


def measure_crops(samples: Sequence[Sample], config: ConfigDict) -> CropSizes:
    """The `CropSizes` of up to `PROBES` training images, augmented as in an epoch.

    The result is a function of its arguments.

    Args:
        samples: the training split.
        config: a whole config.
    """
    make = MakeExample(samples, config)
    heights: list[float] = []
    lost: list[bool] = []
    for index in np.random.default_rng(config.seed).permutation(len(samples))[:PROBES].tolist():
        size = read_size(samples[index].image_path)
        if size is None or not samples[index].polygons:
            continue
        words = words_in_crop(make, (0, index, 0), size)
        heights += [box_around(np.asarray(p, np.float32))[1] for p in words.polygons]
        lost += words.lost.tolist()
    if not heights:
        return CropSizes(float("nan"), 1.0, 0)
    return CropSizes(float(np.median(heights)), float(np.mean(lost)), len(heights))
