"""Which words the crops of training show, and which of them are too small there to be learned."""

from typing import NamedTuple

import numpy as np

from ppocr_jax.data.augment import View, augment, generator
from ppocr_jax.data.examples import MakeExample
from ppocr_jax.data.geometry import crop_polygons, move_polygons
from ppocr_jax.data.image_files import read_size
from ppocr_jax.data.polygons import box_around
from ppocr_jax.data.targets import draw_shrink_map

PROBES = 100  # training images whose augmentation is drawn for `measure_crops`


class CropWords(NamedTuple):
    """The words of one crop that are not ignored.

    Attributes:
        index: int `[N]`, which polygons of the sample they are.
        polygons: float32 `[P, 2]` each, in pixels of the crop, which they may leave.
        lost: bool `[N]`; a lost word is smaller than `min_text_size`, or nothing of it is left
            when it is shrunk: it is masked out, and nobody learns it.
    """

    index: np.ndarray
    polygons: list[np.ndarray]
    lost: np.ndarray


def words_in_crop(make, key, size):
    """`CropWords` of the crop that training makes of a record; no pixel is read or drawn.

    With `data.augment.paste` training's own crop is another one, since that draws numbers too.

    Args:
        make: `examples.MakeExample`.
        key: (epoch, record, occurrence).
        size: (height, width) of the record's picture.
    """
    sample, key = make.samples[key[1]], (make.seed, *key)
    view = View(None, size, sample.polygons, sample.ignore)
    view = augment(view, make.job, make.make_stream(key, generator(key)))
    moved, _ = move_polygons(sample.polygons, *size, view.geometry)
    inside = [bool(crop_polygons([p], [False], view.crop, view.size)[0]) for p in moved]
    sides = make.targets["shrink_ratio"], make.targets["min_text_size"]
    lost = draw_shrink_map(view.polygons, view.ignore, *view.size, *sides)[2]
    words = ~np.array(view.ignore, bool)
    polygons = [p for p, is_word in zip(view.polygons, words, strict=True) if is_word]
    return CropWords(np.flatnonzero(inside)[words], polygons, lost[words])


class CropSizes(NamedTuple):
    """Of the words of drawn crops that are not ignored.

    Attributes:
        height: median of the shorter sides, pixels; NaN without a word.
        lost: share of them that is too small to be learned.
        count: how many they are.
    """

    height: float
    lost: float
    count: int


def measure_crops(samples, config):
    """`CropSizes` of some of the training images, drawn as an epoch would; the same every time.

    Args:
        samples: of the training split.
        config: a whole config.
    """
    make, heights, lost = MakeExample(samples, config), [], []
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
