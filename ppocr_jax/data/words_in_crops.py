"""Which words the crops of training show, and which of them are too small there to be learned."""

from typing import NamedTuple

import numpy as np

from ppocr_jax.data.augment import View, augment, generator
from ppocr_jax.data.geometry import crop_polygons, move_polygons
from ppocr_jax.data.targets import draw_shrink_map


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
