"""Remarks on a split that can be used: little text, small text, rotated images, near-duplicates.

A remark is not a problem: training starts all the same and may well succeed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ppocr_jax.data.examples import MakeExample
from ppocr_jax.data.label_index import count_words
from ppocr_jax.data.likeness import find_alike
from ppocr_jax.data.looked_at import Picture, Pictures
from ppocr_jax.data.polygons import box_around
from ppocr_jax.data.resize import SMALL_TEXT, plan_size
from ppocr_jax.data.words_in_crops import words_in_crop
from ppocr_jax.errors import counted

if TYPE_CHECKING:
    from ml_collections import ConfigDict

PROBES = 200  # training images whose augmented crops are examined
FEW_IMAGES, WIDE = 50, 0.05  # a remark below so many validation images, or above this uncertainty
SHOWN = 3  # pairs of near-duplicates that are named
SMALL_SHARE = 0.05  # share of words that are too small, above which there is a remark
MUCH = 0.2  # the same for words too small in the crops, and for crops without a word


def find(
    config: ConfigDict, split: str, pictures: Pictures, training: Pictures | None = None
) -> list[str]:
    """Lines of text on a split; remarks begin with `note: `.

    Args:
        config: a whole config.
        split: "train" or "val".
        pictures: the images of the split.
        training: readable images of the training split, to look for near-duplicates of.
    """
    usable = pictures.usable()
    lines = [_survival(usable, config)] if split == "train" else []
    notes = [_turned(usable), _small(usable, config), _alike(usable, training)]
    if split == "val" and pictures:
        notes.append(_uncertain(pictures))
    return [*lines, *(f"note: {split}: {note}" for note in notes if note)]


def _survival(pictures: Pictures, config: ConfigDict) -> str:
    """The share of words in augmented crops that are large enough to be learned."""
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
        line += f"; {empty} of {counted(len(crops), 'crop')} without a word to learn"
    return line


def _turned(pictures: Pictures) -> str:
    """Images that EXIF rotates or flips."""
    turned = int(pictures.turned.sum())
    if not turned:
        return ""
    return (
        f"EXIF rotates or flips {turned} of {counted(len(pictures), 'image')}; labels must refer "
        "to the image as a viewer shows it"
    )


def _small(pictures: Pictures, config: ConfigDict) -> str:
    """Words that are too small at the network's input size in evaluation and prediction."""
    limits = {key: config.eval[key] for key in ("limit_side", "limit_type")}
    small = total = 0
    for picture in pictures:
        scale = np.array(plan_size(*picture.size, **limits)) / np.array(picture.size)
        for polygon, ignored in zip(picture.sample.polygons, picture.sample.ignore, strict=True):
            if not ignored:
                total += 1
                small += box_around((polygon * scale[::-1]).astype(np.float32))[1] < SMALL_TEXT
    if small <= SMALL_SHARE * total:
        return ""
    return (
        f"{small} of {counted(total, 'word')} are less than {SMALL_TEXT} pixels high at the "
        f"network's input size (eval.limit_side={config.eval.limit_side}, "
        f"limit_type={config.eval.limit_type}) and will be found only by chance: a larger "
        "eval.limit_side helps"
    )


def _alike(pictures: Pictures, training: Pictures | None) -> str:
    """Images that show the same as a training image, but are another file."""
    if not training:
        return ""
    alike = find_alike(pictures.marks, training.marks)
    pairs = [(pictures[i], training[j], bits) for i, j, bits in alike]
    # Identical files are problems, and reported as such.
    pairs = sorted((pair for pair in pairs if pair[0].digest != pair[1].digest), key=_bits)
    if not pairs:
        return ""
    count = len({picture.sample.image_path for picture, _, _ in pairs})
    named = [f"{a.sample.image_path} and {b.sample.image_path}" for a, b, _ in pairs[:SHOWN]]
    return (
        f"{count} of {counted(len(pictures), 'image')} are near-duplicates of training images, "
        "which makes hmean look better than it is: "
        f"{'; '.join(named)}{' ...' * (len(pairs) > SHOWN)}"
    )


def _bits(pair: tuple[Picture, Picture, int]) -> int:
    return pair[2]


def _uncertain(pictures: Pictures) -> str:
    """How uncertain hmean is on a small validation set, with words as independent draws."""
    words = count_words(pictures.samples).learned
    # 95 % of a binomial share, widest at one half: a lower limit, as words of an image are alike.
    spread = 1.96 * 0.5 / math.sqrt(max(1, words))
    if not words or len(pictures) >= FEW_IMAGES and spread <= WIDE:
        return ""
    return (
        f"{counted(len(pictures), 'image')} with {counted(words, 'word')} determine hmean to "
        f"+-{spread:.2f} at best (95 %): smaller differences are chance; more validation images "
        "help"
    )
