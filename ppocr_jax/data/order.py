"""Which record stands where: the order of every epoch, and the numbers of samples that follow.

Epoch e has its own order, drawn from (seed, e). It knows nothing of threads, of processes or of
what came before.
"""

import threading

import numpy as np

from ppocr_jax.errors import UserError

_drawing = threading.Lock()


def samples_per_epoch(sizes, ratios):
    """Number of samples of an epoch, from the number and the share of each source."""
    return sum(
        round(size * ratio) for size, ratio in zip(sizes, spread(ratios, sizes), strict=True)
    )


def spread(ratios, sizes):
    """One ratio per source; a single one serves all.

    Raises:
        UserError: another number of ratios than sources, or one that is negative.
    """
    ratios = tuple(ratios) if len(ratios) != 1 else tuple(ratios) * len(sizes)
    if len(ratios) != len(sizes) or min(ratios) < 0:
        raise UserError(
            f"config.data.ratios={ratios}: give one for all of the {len(sizes)} sources of "
            "config.data.train, or one each, none negative"
        )
    return ratios


def steps_per_epoch(num_samples, batch_size, last_batch):
    """Batches of an epoch: the last one is completed ("fill") or left out ("drop")."""
    return -(-num_samples // batch_size) if last_batch == "fill" else num_samples // batch_size


class EpochOrder:
    """Which record stands where: `epoch, place -> (record, occurrence)`.

    Of each source round(n x ratio) records are drawn without replacement, whole copies first
    when the ratio is above 1; then all are shuffled.
    """

    def __init__(self, sizes, ratios, seed):
        self.sizes, self.ratios, self.seed = sizes, spread(ratios, sizes), seed
        self.length = samples_per_epoch(sizes, ratios)
        self._kept = {}

    def order(self, epoch):
        """int32 `[n, 2]` of an epoch; two are kept, since one's last batch needs the next."""
        with _drawing:  # threads share this: one of them draws, the others wait
            if epoch not in self._kept:
                if len(self._kept) > 1:
                    del self._kept[min(self._kept)]
                self._kept[epoch] = self._draw(epoch)
            return self._kept[epoch]

    def _draw(self, epoch):
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, epoch]))
        # int32, and filled in place: of a million images each array takes megabytes.
        order, first, place = np.empty((self.length, 2), np.int32), 0, 0
        for size, ratio in zip(self.sizes, self.ratios, strict=True):
            wanted, copy = round(size * ratio), 0
            while wanted > 0:
                take = min(wanted, size)
                order[place : place + take, 0] = rng.permutation(size)[:take]
                order[place : place + take, 0] += first
                order[place : place + take, 1] = copy
                wanted, copy, place = wanted - take, copy + 1, place + take
            first += size
        return rng.permutation(order)


class BatchIndex:
    """A Grain source: number of a sample -> `(epoch, record, occurrence)`.

    Args:
        order: EpochOrder.
        batch_size: global.
        last_batch: "fill" or "drop".
        first_step: number of the first batch.
        num_steps: batches.
        shard: (index, count) of this process, which gets its part of every global batch.
    """

    def __init__(self, order, batch_size, last_batch, first_step, num_steps, shard):
        self._order, self._batch_size, self._first = order, batch_size, first_step
        self._num_steps = num_steps
        self._per_epoch = steps_per_epoch(order.length, batch_size, last_batch)
        index, count = shard
        self._share, self._offset = batch_size // count, index * (batch_size // count)

    def __len__(self):
        return self._num_steps * self._share

    def __getitem__(self, number):
        step = self._first + int(number) // self._share
        epoch, batch = divmod(step, self._per_epoch)
        place = batch * self._batch_size + self._offset + int(number) % self._share
        order = self._order.order(epoch)
        if place < len(order):
            record, occurrence = order[place]
            return epoch, int(record), int(occurrence)
        # The last batch goes on with the next epoch's order. The extra occurrence gives these
        # samples other random numbers than they will get there.
        record, occurrence = self._order.order(epoch + 1)[place - len(order)]
        return epoch + 1, int(record), int(occurrence) + 1_000_000
