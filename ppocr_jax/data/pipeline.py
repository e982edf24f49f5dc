"""Samples -> batches, carried by Grain. A batch is a function of the config and its number.

Epoch e has its own order, drawn from (seed, e); the sample at a place of it has its own
generator, drawn from (seed, e, record, occurrence). Neither knows of threads, processes or what
came before, so a run continues at any update with the very batches it would have had.
"""

import multiprocessing
import os

import cv2
import grain
import numpy as np
from absl import flags

from ppocr_jax.data import STREAMS
from ppocr_jax.data.augment import Job, View, augment, generator
from ppocr_jax.data.labels import Problem
from ppocr_jax.data.order import BatchIndex, EpochOrder
from ppocr_jax.data.resize import read_image
from ppocr_jax.data.targets import draw_targets
from ppocr_jax.errors import UserError

MAX_TRIES = 10  # other records tried in place of one that fails


class MakeExample(grain.transforms.Map):
    """`(epoch, record, occurrence)` -> one training example."""

    def __init__(self, samples, config):
        self.samples, self.seed = samples, config.seed
        self.job = Job(config.data.augment.to_dict(), config.crop, samples)
        streams = self.job.options.get("streams", "shared")
        self.make_stream = STREAMS.pick("config.data.augment.streams", streams)
        self.targets = config.data.targets.to_dict()

    def __setstate__(self, state):
        """In a worker process, OpenCV's own threads would fight with the other workers."""
        vars(self).update(state)
        if multiprocessing.parent_process() is not None:
            cv2.setNumThreads(1)

    def map(self, key):
        _, record, _ = key
        key = (self.seed, *key)
        rng = generator(key)
        stream, failures = self.make_stream(key, rng), []
        for _ in range(MAX_TRIES):
            sample = self.samples[record]
            try:
                return {
                    **self.example(sample, stream),
                    "record": np.int32(record),
                    "failures": failures,
                }
            except UserError as error:
                failures.append((sample.image_path, str(error)))
                record = int(rng.integers(len(self.samples)))
        raise UserError(
            f"{MAX_TRIES} training records in turn cannot be used, such as {failures[0][1]}"
        )

    def example(self, sample, stream):
        """Image and target maps of a sample, augmented with numbers of this stream."""
        image, side = read_image(sample.image_path), self.job.side
        view = View(image, image.shape[:2], sample.polygons, sample.ignore)
        view = augment(view, self.job, stream)
        try:
            targets = draw_targets(view.polygons, view.ignore, side, side, **self.targets)
        except UserError as error:
            raise UserError(str(Problem(sample.source, sample.line, str(error)))) from None
        return {"image": view.image, **targets}


def stack(examples):
    """A batch from examples: arrays stacked under their names, failures joined."""
    batch = {
        name: np.stack([example[name] for example in examples])
        for name in examples[0]
        if name != "failures"
    }
    batch["failures"] = [failure for example in examples for failure in example["failures"]]
    return batch


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
    if not flags.FLAGS.is_parsed():  # Grain's workers look at absl's flags
        flags.FLAGS.mark_as_parsed()
    data = config.data
    samples = [sample for part in sources for sample in part]
    order = EpochOrder([len(part) for part in sources], data.ratios, config.seed)
    index = BatchIndex(order, config.batch_size, data.last_batch, first_step, num_steps, shard)
    share = config.batch_size // shard[1]
    dataset = grain.MapDataset.source(index).map(MakeExample(samples, config))
    dataset = dataset.batch(share, batch_fn=stack)
    waiting = batches_waiting(config, share)
    if data.workers:
        threads = grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
        dataset = dataset.to_iter_dataset(threads).mp_prefetch(
            grain.MultiprocessingOptions(
                num_workers=data.workers,
                per_worker_buffer_size=max(1, waiting // data.workers),
            )
        )
    else:
        threads = min(waiting, max(2, (os.cpu_count() or 2) - 1))
        dataset = dataset.to_iter_dataset(
            grain.ReadOptions(num_threads=threads, prefetch_buffer_size=waiting)
        )
    return Batches(dataset)


def batches_waiting(config, share):
    """Finished batches that may wait within `data.prefetch_mb`; at least one."""
    size = share * config.crop**2 * (3 + 4 + 3)
    return int(max(1, min(64, config.data.prefetch_mb * 2**20 // size)))
