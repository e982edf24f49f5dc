"""Uncertainty of an hmean from the choice of images: the bootstrap over images.

The images of a split are resampled with replacement many times. The spread of hmean over these
samples estimates its spread over other sets of images of the same kind. Each sample has one image
fewer than the split: with n images in a sample, the variance comes out too small by the factor
(n - 1) / n, which matters with few images. The seed is fixed, so the same counts give the same
numbers.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993 (percentile interval).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

LEVEL = 0.95
DRAWS = 1000  # samples of images; fixes the ends of an interval to about 2 % of its width
SEED = 0
AT_ONCE = 2_000_000  # image indices in memory at a time

# Per image (labelled, found, matched, ...), as `metrics.Counts` begins: a list of them or an array.
ImageCounts = Sequence[Sequence[int]] | Int[np.ndarray, "N K"]


class Difference(NamedTuple):
    """By how much one model is better than another on the same images.

    Attributes:
        gain: hmean of the second model minus that of the first.
        low, high: 95 % interval of the gain.
        chance: p-value, roughly: how likely a gain this large would be if the models were equal,
            in (0, 1].
    """

    gain: float
    low: float
    high: float
    chance: float

    @property
    def more_than_chance(self) -> bool:
        """Whether the interval leaves out 0: other images would most likely agree on the sign."""
        return self.low > 0 or self.high < 0


def interval(counts: ImageCounts) -> tuple[float, float]:
    """The 95 % interval of hmean.

    Args:
        counts: per image (labelled, found, matched), further columns are not read.

    Returns:
        `(low, high)`. It is (0, 1) with fewer than two images or without a labelled word, since
        these say nothing about other images.
    """
    table = _as_array(counts)
    if len(table) < 2 or not table[:, 0].any():
        return 0.0, 1.0
    drawn = np.concatenate([hmean_of(sums[0]) for sums in _resample(table[None])])
    return _percentiles(drawn)


def paired_difference(counts_a: ImageCounts, counts_b: ImageCounts) -> Difference:
    """Whether the second of two models is better than the first on the same images.

    Both are scored on the same samples of images, so what makes an image hard for both cancels
    out. The interval is much narrower than two separate intervals suggest.

    Args:
        counts_a, counts_b: of the two models, for the same images in the same order, see
            `interval`.

    Raises:
        ValueError: different numbers of images.
    """
    both = np.stack([_as_array(counts_a), _as_array(counts_b)])
    first, second = hmean_of(both.sum(1))
    gain = float(second - first)
    if both.shape[1] < 2:
        return Difference(gain, -1.0, 1.0, 1.0)
    drawn = np.concatenate([np.diff(hmean_of(sums), axis=0)[0] for sums in _resample(both)])
    # Two-sided. Never 0: no smaller p-value than 1 / DRAWS can be seen with so many samples.
    tail = min((drawn <= 0).mean(), (drawn >= 0).mean())
    return Difference(gain, *_percentiles(drawn), chance=float(min(1.0, max(2 * tail, 1 / DRAWS))))


def hmean_of(sums: Any) -> Float[np.ndarray, "*batch"]:
    """hmean from sums of counts.

    Args:
        sums: `[..., >= 3]`: labelled, found, matched in the last axis.

    Returns:
        float64 `[...]`: 2 x matched / (labelled + found), which is the harmonic mean of precision
        and recall; 0 where there are neither labels nor detections.
    """
    labelled, found, matched = np.moveaxis(np.asarray(sums, np.float64), -1, 0)[:3]
    total = labelled + found
    return np.divide(2 * matched, total, out=np.zeros_like(total), where=total > 0)


def _resample(counts: Int[np.ndarray, "M N 3"]) -> Iterator[Int[np.ndarray, "M D 3"]]:
    """Sums of counts over samples of images, some samples at a time.

    Args:
        counts: of M models on N images. All models get the same samples.
    """
    images, rng = counts.shape[1], np.random.default_rng(SEED)
    part = max(1, AT_ONCE // images)
    for start in range(0, DRAWS, part):
        chosen = rng.integers(0, images, (min(part, DRAWS - start), images - 1))
        yield counts[:, chosen].sum(2)


def _percentiles(values: Float[np.ndarray, " D"]) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _as_array(counts: ImageCounts) -> Int[np.ndarray, "N 3"]:
    return np.array([tuple(row)[:3] for row in counts], np.int64).reshape(-1, 3)
