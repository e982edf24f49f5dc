"""Samples -> batches. A batch is a function of the config and its number.

Epoch e has its own order, drawn from (seed, e); the sample at a place of it has its own
generator, drawn from (seed, e, record, occurrence). Neither knows of threads, processes or what
came before, so a run continues at any update with the very batches it would have had.
"""

import os
from typing import NamedTuple

import cv2
import grain

from ppocr_jax.data.compact import most_bytes
from ppocr_jax.data.examples import MakeBatch, MakeExample
from ppocr_jax.data.label_index import join
from ppocr_jax.data.order import BatchIndex, EpochOrder
from ppocr_jax.data.workers import Workers

CHOOSE = -1  # of data.workers and data.prefetch_mb: what suits the machine


class Batches:
    """Iterator over batches. Use as a context manager: worker processes end with it.

    While it is open OpenCV has one thread in this process: samples are made side by side, and
    its own threads would fight with that. Closing gives it back those that it had.
    """

    def __init__(self, dataset):
        self._opencv_threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        self._iterator = iter(dataset)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._iterator)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends worker processes and threads; nothing the second time."""
        if self._iterator is None:
            return
        close = getattr(self._iterator, "close", None)
        self._iterator = None
        if close is not None:
            close()
        cv2.setNumThreads(self._opencv_threads)


class Supply(NamedTuple):
    """How batches are made, which changes nothing of them.

    Attributes:
        workers: processes that make them; 0: threads of this one.
        prefetch_mb: of finished batches that may wait, over all workers, MiB.
    """

    workers: int = 0
    prefetch_mb: int = 512

    @classmethod
    def of(cls, config):
        """What a config names; where it leaves the choice, what suits a run on processors."""
        named = cls(config.data.workers, config.data.prefetch_mb)
        return cls(*(own if n == CHOOSE else n for n, own in zip(named, cls(), strict=True)))


def make_batches(sources, config, first_step, num_steps, shard=(0, 1), supply=None):
    """Batches number `first_step` to `first_step + num_steps` of a run.

    Args:
        sources: lists of samples, one per source.
        config: a whole config; seed, crop, batch_size and data are read.
        first_step: updates done before.
        num_steps: batches to give.
        shard: (index, count) of this process.
        supply: `Supply`; by default what the config says.

    Returns:
        Iterator of packed batches, see `compact.stack`: image uint8 `[B, S, S, 3]` BGR, the maps
        for `compact.unpack`, record int32 `[B]`, and failures, a list of (path, reason) of records
        that were replaced by others.
    """
    data, supply = config.data, supply or Supply.of(config)
    samples = join(sources)
    order = EpochOrder([len(part) for part in sources], data.ratios, config.seed)
    index = BatchIndex(order, config.batch_size, data.last_batch, first_step, num_steps, shard)
    share = config.batch_size // shard[1]
    make, waiting = MakeExample(samples, config), batches_waiting(config.crop, share, supply)
    if supply.workers:
        ahead, size = max(1, waiting // supply.workers), most_bytes(share, config.crop)
        job = MakeBatch(index, make, share)
        return Batches(Workers(job, num_steps, supply.workers, ahead, size))
    dataset = grain.MapDataset.source(index).map(make.packed).batch(share, batch_fn=make.stack)
    threads = min(waiting, max(2, (os.cpu_count() or 2) - 1))
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=waiting)
    return Batches(dataset.to_iter_dataset(options))


def batches_waiting(crop, share, supply):
    """Finished batches of `share` crops that may wait within `prefetch_mb`; at least one."""
    return int(max(1, min(64, supply.prefetch_mb * 2**20 // most_bytes(share, crop))))
