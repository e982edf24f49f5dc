"""How large words are in the crops that a network learns from: geometry alone, no pixels."""

from typing import NamedTuple

import numpy as np

from ppocr_jax.data.augment import Job, View, augment, generator, shared_stream
from ppocr_jax.data.image_files import read_size
from ppocr_jax.data.polygons import box_around

PROBES = 100  # training images whose augmentation is drawn


class CropWords(NamedTuple):
    """Of the words of drawn crops that are not ignored.

    Attributes:
        height: median of the shorter sides, pixels; NaN without a word.
        lost: share of them that is below `data.targets.min_text_size`.
        count: how many they are.
    """

    height: float
    lost: float
    count: int


def measure_crops(samples, config):
    """`CropWords` of some of the training images, drawn as an epoch would; the same every time.

    Args:
        samples: of the training split.
        config: a whole config.
    """
    job = Job(config.data.augment.to_dict(), config.crop)
    heights, least = [], []
    for index in np.random.default_rng(config.seed).permutation(len(samples))[:PROBES].tolist():
        sample, key = samples[index], (config.seed, 0, index, 0)
        size = read_size(sample.image_path)
        if size is None or not sample.polygons:
            continue
        view = View(None, size, sample.polygons, sample.ignore)
        view = augment(view, job, shared_stream(key, generator(key)))
        for polygon, ignored in zip(view.polygons, view.ignore, strict=True):
            if not ignored:
                heights.append(box_around(np.asarray(polygon, np.float32))[1])
                inside = np.clip(polygon, 0, config.crop - 1)
                least.append((inside.max(0) - inside.min(0)).min())
    if not heights:
        return CropWords(float("nan"), 1.0, 0)
    lost = np.mean(np.array(least) < config.data.targets.min_text_size)
    return CropWords(float(np.median(heights)), float(lost), len(heights))
