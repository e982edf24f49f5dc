"""What is worth a remark about a split that can be used: little text, small text, turned pictures.

A remark is no problem: a run begins with it and may end well.
"""

import math

import numpy as np

from ppocr_jax.data.examples import MakeExample
from ppocr_jax.data.label_index import count_words
from ppocr_jax.data.likeness import find_alike
from ppocr_jax.data.polygons import box_around
from ppocr_jax.data.resize import SMALL_TEXT, plan_size
from ppocr_jax.data.words_in_crops import words_in_crop
from ppocr_jax.errors import counted

PROBES = 200  # training images whose augmentation is tried
FEW_IMAGES, WIDE = 50, 0.05  # validation images, and the uncertainty of their hmean
SHOWN = 3  # pairs of near-duplicates
SMALL_SHARE = 0.05  # of the words, that are too small
MUCH = 0.2  # share of the words of training's crops, or of the crops


def find(config, split, pictures, training=()):
    """Lines on a split: those that say how it is seen, and those that begin with `note: `.

    Args:
        config: a whole config.
        split: "train" or "val".
        pictures: `looked_at.Pictures`.
        training: those of the training split that can be read, with which others are compared.
    """
    usable = pictures.usable()
    lines = [_survival(usable, config)] if split == "train" else []
    notes = [_turned(usable), _small(usable, config), _alike(usable, training)]
    if split == "val" and pictures:
        notes.append(_uncertain(pictures))
    return [*lines, *(f"note: {split}: {note}" for note in notes if note)]


def _survival(pictures, config):
    """Share of the words in augmented crops that are large enough to learn from."""
    samples = pictures.samples
    make, least = MakeExample(samples, config), config.data.targets.min_text_size
    chosen = np.random.default_rng(config.seed).permutation(len(samples))[:PROBES]
    crops = [words_in_crop(make, (0, int(i), 0), pictures[int(i)].size).lost for i in chosen]
    total, kept = sum(map(len, crops)), sum(int((~lost).sum()) for lost in crops)
    share = f"{kept / total:.0%}" if total else "none"
    line = (
        f"at crop {config.crop}, {share} of {counted(total, 'word')} in "
        f"{counted(len(chosen), 'augmented image')} are at least "
        f"data.targets.min_text_size={least} pixels"
    )
    if total - kept > MUCH * total:
        line += " (a larger config.crop keeps more, or a smaller min_text_size)"
    empty = sum(bool(lost.all()) for lost in crops)
    if crops and empty > MUCH * len(crops):
        line += f"; {empty} of {counted(len(crops), 'crop')} without a word to learn from"
    return line


def _turned(pictures):
    turned = int(pictures.turned.sum())
    return turned and (
        f"EXIF turns {turned} of {counted(len(pictures), 'picture')}; labels count in the picture "
        "as it is seen then"
    )


def _small(pictures, config):
    """Words that are too small at the size of evaluation and prediction."""
    limits = {key: config.eval[key] for key in ("limit_side", "limit_type")}
    small = total = 0
    for picture in pictures:
        scale = np.array(plan_size(*picture.size, **limits)) / np.array(picture.size)
        for polygon, ignored in zip(picture.sample.polygons, picture.sample.ignore, strict=True):
            if not ignored:
                total += 1
                small += box_around((polygon * scale[::-1]).astype(np.float32))[1] < SMALL_TEXT
    return small > SMALL_SHARE * total and (
        f"{small} of {counted(total, 'word')} are lower than {SMALL_TEXT} pixels at the "
        f"network's size (eval.limit_side={config.eval.limit_side}, "
        f"limit_type={config.eval.limit_type}), and are found by luck: a larger eval.limit_side "
        "helps"
    )


def _alike(pictures, training):
    """Pictures that show what one of training shows, without being the same file."""
    if not training:
        return ""
    pairs = find_alike(pictures.marks, training.marks)
    pairs = [(pictures[i], training[j], bits) for i, j, bits in pairs]
    pairs = sorted((pair for pair in pairs if pair[0].digest != pair[1].digest), key=_bits)
    if not pairs:
        return ""
    count = len({picture.sample.image_path for picture, _, _ in pairs})
    named = [f"{a.sample.image_path} and {b.sample.image_path}" for a, b, _ in pairs[:SHOWN]]
    return (
        f"{count} of {counted(len(pictures), 'picture')} are near-duplicates of training ones, "
        "which makes hmean look better than it is: "
        f"{'; '.join(named)}{' ...' * (len(pairs) > SHOWN)}"
    )


def _bits(pair):
    return pair[2]


def _uncertain(pictures):
    """What a small validation split cannot tell; its words are taken as drawn independently."""
    words = count_words(pictures.samples).learned
    spread = 1.96 * 0.5 / math.sqrt(max(1, words))
    if not words or len(pictures) >= FEW_IMAGES and spread <= WIDE:
        return ""
    return (
        f"{counted(len(pictures), 'image')} with {counted(words, 'word')} tell hmean to "
        f"+-{spread:.2f} at best (95 %): smaller differences are chance; more validation images "
        "help"
    )
