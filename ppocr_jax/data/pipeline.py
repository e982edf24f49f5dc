"""Samples -> batches. A batch is a function of the config and its number.

Epoch e has its own order, drawn from (seed, e); the sample at a place of it has its own
generator, drawn from (seed, e, record, occurrence). Neither knows of threads, processes or what
came before, so a run continues at any update with the very batches it would have had.
"""

import os

import cv2
import grain

from ppocr_jax.data.examples import MakeBatch, MakeExample, stack
from ppocr_jax.data.label_index import join
from ppocr_jax.data.order import BatchIndex, EpochOrder
from ppocr_jax.data.workers import Workers


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


def make_batches(sources, config, first_step, num_steps, shard=(0, 1)):
    """Batches number `first_step` to `first_step + num_steps` of a run.

    Args:
        sources: lists of samples, one per source.
        config: a whole config; seed, crop, batch_size and data are read.
        first_step: updates done before.
        num_steps: batches to give.
        shard: (index, count) of this process.

    Returns:
        Iterator of dicts: image uint8 `[B, S, S, 3]` BGR, threshold_map float32 and
        threshold_mask, shrink_map, shrink_mask uint8 `[B, S, S]`, record int32 `[B]`, and
        failures, a list of (path, reason) of records that were replaced by others.
    """
    data = config.data
    samples = join(sources)
    order = EpochOrder([len(part) for part in sources], data.ratios, config.seed)
    index = BatchIndex(order, config.batch_size, data.last_batch, first_step, num_steps, shard)
    share = config.batch_size // shard[1]
    make, waiting = MakeExample(samples, config), batches_waiting(config, share)
    if data.workers:
        ahead = max(1, waiting // data.workers)
        return Batches(Workers(MakeBatch(index, make, share), num_steps, data.workers, ahead))
    dataset = grain.MapDataset.source(index).map(make.map).batch(share, batch_fn=stack)
    threads = min(waiting, max(2, (os.cpu_count() or 2) - 1))
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=waiting)
    return Batches(dataset.to_iter_dataset(options))


def batches_waiting(config, share):
    """Finished batches that may wait within `data.prefetch_mb`; at least one."""
    size = share * config.crop**2 * (3 + 4 + 3)
    return int(max(1, min(64, config.data.prefetch_mb * 2**20 // size)))
