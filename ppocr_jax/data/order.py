"""The order of records in every epoch, and the number of samples and steps of an epoch.

The order of epoch e is a function of (seed, e) alone: it does not depend on threads, processes or
earlier epochs.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ppocr_jax.errors import UserError

if TYPE_CHECKING:
    from jaxtyping import Int32

_drawing = threading.Lock()


def samples_per_epoch(sizes: Sequence[int], ratios: Sequence[float]) -> int:
    """Number of samples of an epoch, given the size and the ratio of each source."""
    return sum(
        round(size * ratio) for size, ratio in zip(sizes, spread(ratios, sizes), strict=True)
    )


def spread(ratios: Sequence[float], sizes: Sequence[int]) -> tuple[float, ...]:
    """One ratio per source; a single ratio is used for all sources.

    Raises:
        UserError: the number of ratios differs from that of sources, or one is negative.
    """
    ratios = tuple(ratios) if len(ratios) != 1 else tuple(ratios) * len(sizes)
    if len(ratios) != len(sizes) or min(ratios) < 0:
        raise UserError(
            f"config.data.ratios={ratios}: give one ratio for all {len(sizes)} sources of "
            "config.data.train, or one per source, none negative"
        )
    return ratios


def steps_per_epoch(num_samples: int, batch_size: int, last_batch: str) -> int:
    """Batches of an epoch: an incomplete last one is filled up ("fill") or left out ("drop")."""
    return -(-num_samples // batch_size) if last_batch == "fill" else num_samples // batch_size


class EpochOrder:
    """The order of records in every epoch.

    From each source of n records, round(n x ratio) are drawn without replacement; if the ratio is
    above 1, whole copies come first. Then the records of all sources are shuffled together.

    Args:
        sizes: number of records of each source.
        ratios: `config.data.ratios`.
        seed: `config.seed`.

    Raises:
        UserError: see `spread`.
    """

    def __init__(self, sizes: Sequence[int], ratios: Sequence[float], seed: int) -> None:
        self.sizes, self.ratios, self.seed = sizes, spread(ratios, sizes), seed
        self.length = samples_per_epoch(sizes, ratios)
        self._kept: dict[int, np.ndarray] = {}

    def order(self, epoch: int) -> Int32[np.ndarray, "n 2"]:
        """(record, occurrence) at each position of an epoch.

        The occurrence counts the copies of a record within the epoch. Two epochs are kept, because
        the last batch of one needs the beginning of the next.
        """
        with _drawing:  # shared by threads: one of them draws, the others wait
            if epoch not in self._kept:
                if len(self._kept) > 1:
                    del self._kept[min(self._kept)]
                self._kept[epoch] = self._draw(epoch)
            return self._kept[epoch]

    def _draw(self, epoch: int) -> Int32[np.ndarray, "n 2"]:
        # A generator of its own per epoch, so that any epoch can be drawn without the earlier ones.
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, epoch]))
        # int32, and filled in place: with a million images each array takes megabytes.
        order, first, place = np.empty((self.length, 2), np.int32), 0, 0
        for size, ratio in zip(self.sizes, self.ratios, strict=True):
            wanted, copy = round(size * ratio), 0
            while wanted > 0:  # whole copies while the ratio is above 1, then the rest
                take = min(wanted, size)
                order[place : place + take, 0] = rng.permutation(size)[:take]
                order[place : place + take, 0] += first
                order[place : place + take, 1] = copy
                wanted, copy, place = wanted - take, copy + 1, place + take
            first += size
        return rng.permutation(order)


class BatchIndex:
    """A Grain source: number of a sample in the run -> `(epoch, record, occurrence)`.

    Args:
        order: the order of every epoch.
        batch_size: images of a global batch.
        last_batch: "fill" or "drop".
        first_step: number of the first batch.
        num_steps: number of batches.
        shard: (index, count) of this process, which makes its part of every global batch.
    """

    def __init__(
        self,
        order: EpochOrder,
        batch_size: int,
        last_batch: str,
        first_step: int,
        num_steps: int,
        shard: tuple[int, int],
    ) -> None:
        self._order, self._batch_size, self._first = order, batch_size, first_step
        self._num_steps = num_steps
        self._per_epoch = steps_per_epoch(order.length, batch_size, last_batch)
        index, count = shard
        self._share, self._offset = batch_size // count, index * (batch_size // count)

    def __len__(self) -> int:
        return self._num_steps * self._share

    def __getitem__(self, number: int) -> tuple[int, int, int]:
        step = self._first + int(number) // self._share
        epoch, batch = divmod(step, self._per_epoch)
        place = batch * self._batch_size + self._offset + int(number) % self._share
        order = self._order.order(epoch)
        if place < len(order):
            record, occurrence = order[place]
            return epoch, int(record), int(occurrence)
        # An incomplete last batch is filled from the next epoch's order. The large occurrence gives
        # these samples other random numbers than they will get in that epoch itself.
        record, occurrence = self._order.order(epoch + 1)[place - len(order)]
        return epoch + 1, int(record), int(occurrence) + 1_000_000
