"""Samples -> batches. A batch is a function of the config and its number.

The order of epoch e is drawn from (seed, e), and each sample in it has its own random generator,
seeded with (seed, e, record, occurrence). Neither depends on threads, processes or earlier batches,
so a run can be resumed at any step with exactly the batches it would have had.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import grain

from ppocr_jax.data.compact import most_bytes
from ppocr_jax.data.examples import MakeBatch, MakeExample
from ppocr_jax.data.label_index import join
from ppocr_jax.data.order import BatchIndex, EpochOrder
from ppocr_jax.data.sample import Sample
from ppocr_jax.data.workers import Workers

if TYPE_CHECKING:
    from ml_collections import ConfigDict

CHOOSE = -1  # value of data.workers and data.prefetch_mb that leaves the choice to the program


class Batches:
    """Iterator over batches. Use it as a context manager: leaving it ends the worker processes.

    While it is open, OpenCV uses one thread in this process: samples are made in parallel, and
    OpenCV's own threads would compete with that. Closing restores the previous number.
    """

    def __init__(self, dataset: Iterable[dict[str, Any]]) -> None:
        self._opencv_threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        self._iterator: Iterator[dict[str, Any]] | None = iter(dataset)

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> dict[str, Any]:
        return next(self._iterator)  # type: ignore[arg-type]  # a TypeError once it is closed

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends worker processes and threads; a second call does nothing."""
        if self._iterator is None:
            return
        close = getattr(self._iterator, "close", None)
        self._iterator = None
        if close is not None:
            close()
        cv2.setNumThreads(self._opencv_threads)


class Supply(NamedTuple):
    """How batches are made; it does not affect their content.

    Attributes:
        workers: worker processes; 0 for threads in this process.
        prefetch_mb: finished batches that may wait, MiB over all workers.
    """

    workers: int = 0
    prefetch_mb: int = 512

    @classmethod
    def of(cls, config: ConfigDict) -> Supply:
        """The config's values; where it leaves the choice, the defaults for a run on CPU."""
        named = cls(config.data.workers, config.data.prefetch_mb)
        return cls(*(own if n == CHOOSE else n for n, own in zip(named, cls(), strict=True)))


def make_batches(
    sources: Sequence[Sequence[Sample]],
    config: ConfigDict,
    first_step: int,
    num_steps: int,
    shard: tuple[int, int] = (0, 1),
    supply: Supply | None = None,
) -> Batches:
    """Batches `first_step` to `first_step + num_steps - 1` of a run.

    Args:
        sources: sequences of samples, one per label file or folder.
        config: a whole config; seed, crop, batch_size and data are read.
        first_step: steps done before.
        num_steps: number of batches.
        shard: (index, count) of this process, which makes its part of every batch.
        supply: how they are made; by default what the config says.

    Returns:
        Iterator of packed batches, see `compact.stack`: image uint8 `[B, S, S, 3]` BGR, the packed
        maps, record int32 `[B]`, and failures, a list of (path, reason) of records that could not
        be used and were replaced.
    """
    data, supply = config.data, supply or Supply.of(config)
    # --- what the batches hold: the order of the records, and how an example is made
    samples = join(sources)
    order = EpochOrder([len(part) for part in sources], data.ratios, config.seed)
    index = BatchIndex(order, config.batch_size, data.last_batch, first_step, num_steps, shard)
    share = config.batch_size // shard[1]
    make, waiting = MakeExample(samples, config), batches_waiting(config.crop, share, supply)
    # --- who makes them: worker processes, which write whole batches into shared memory
    if supply.workers:
        ahead, size = max(1, waiting // supply.workers), most_bytes(share, config.crop)
        job = MakeBatch(index, make, share)
        return Batches(Workers(job, num_steps, supply.workers, ahead, size))
    # --- or threads of this process, which run side by side inside OpenCV
    dataset = grain.MapDataset.source(index).map(make.packed).batch(share, batch_fn=make.stack)
    threads = min(waiting, max(2, (os.cpu_count() or 2) - 1))
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=waiting)
    return Batches(dataset.to_iter_dataset(options))


def batches_waiting(crop: int, share: int, supply: Supply) -> int:
    """How many finished batches of `share` crops fit into `prefetch_mb`: 1 to 64."""
    return int(max(1, min(64, supply.prefetch_mb * 2**20 // most_bytes(share, crop))))
