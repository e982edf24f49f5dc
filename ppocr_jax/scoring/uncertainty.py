"""How far an hmean could be off by the choice of the images: the bootstrap over images.

The images of a split are drawn anew from it, with repeats, many times; what hmean does then is
about what it would do with other images of the same kind. One image fewer than there are is drawn,
which undoes the bootstrap's narrowness with few of them. All draws have a fixed seed: the same
counts give the same figures.
"""

from typing import NamedTuple

import numpy as np

LEVEL = 0.95
DRAWS = 2000
SEED = 0
AT_ONCE = 2_000_000  # drawn numbers in memory


class Difference(NamedTuple):
    """By how much one model is better than another on the same images.

    Attributes:
        gain: hmean of the second less that of the first.
        low, high: of 95 % of the draws.
        chance: probability, roughly, of a difference as large where there is none, in (0, 1].
    """

    gain: float
    low: float
    high: float
    chance: float

    @property
    def more_than_chance(self) -> bool:
        """Whether another choice of images would most likely say the same of which is better."""
        return self.low > 0 or self.high < 0


def interval(counts) -> tuple[float, float]:
    """Between which values hmean would lie with 95 of 100 other choices of images.

    Args:
        counts: per image (labelled, found, matched), as `metrics.Counts` begins: a list of those,
            or `[N, >= 3]`.

    Returns:
        `(low, high)`; (0, 1) with fewer than two images, which say nothing of others.
    """
    counts = _as_array(counts)
    if len(counts) < 2:
        return 0.0, 1.0
    drawn = np.concatenate([hmean_of(sums[0]) for sums in _draw(counts[None])])
    return _middle(drawn)


def paired_difference(counts_a, counts_b) -> Difference:
    """Whether the second of two models is better than the first, on the same images.

    Both are scored on the same drawn images, so what makes images hard for both does not count as
    doubt: this is much narrower than two intervals side by side.

    Args:
        counts_a, counts_b: of the same images in the same order, see `interval`.

    Raises:
        ValueError: another number of images.
    """
    both = np.stack([_as_array(counts_a), _as_array(counts_b)])
    first, second = hmean_of(both.sum(1))
    gain = float(second - first)
    if both.shape[1] < 2:
        return Difference(gain, -1.0, 1.0, 1.0)
    drawn = np.concatenate([np.diff(hmean_of(sums), axis=0)[0] for sums in _draw(both)])
    tail = min((drawn <= 0).mean(), (drawn >= 0).mean())
    return Difference(gain, *_middle(drawn), chance=float(min(1.0, max(2 * tail, 1 / DRAWS))))


def hmean_of(sums):
    """hmean of (labelled, found, matched) in the last axis; 0 where there is none of either."""
    labelled, found, matched = np.moveaxis(np.asarray(sums, np.float64), -1, 0)[:3]
    total = labelled + found
    return np.divide(2 * matched, total, out=np.zeros_like(total), where=total > 0)


def _draw(counts):
    """Sums over drawn images, `[models, draws, 3]` at a time, of counts `[models, N, 3]`."""
    images, rng = counts.shape[1], np.random.default_rng(SEED)
    part = max(1, AT_ONCE // images)
    for start in range(0, DRAWS, part):
        chosen = rng.integers(0, images, (min(part, DRAWS - start), images - 1))
        yield counts[:, chosen].sum(2)


def _middle(values):
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _as_array(counts):
    return np.array([tuple(row)[:3] for row in counts], np.int64).reshape(-1, 3)
