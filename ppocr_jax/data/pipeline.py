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
from ppocr_jax.data.resize import read_image
from ppocr_jax.data.targets import draw_targets
from ppocr_jax.errors import UserError

MAX_TRIES = 10  # other records tried in place of one that fails


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


def require_text(samples):
    """Refuses training data without a single word to learn from.

    Raises:
        UserError: every word is ignored, or there is none.
    """
    if not any(not ignored for sample in samples for ignored in sample.ignore):
        sources = ", ".join(sorted({sample.source for sample in samples})[:3])
        words = sum(len(sample.ignore) for sample in samples)
        raise UserError(
            f"{sources}: {words} words and all are ignored: their text is `*` or `###`, which "
            "means 'do not care'; write any other text for words to learn"
        )


class EpochOrder:
    """Which record stands where: `epoch, place -> (record, occurrence)`.

    Of each source round(n x ratio) records are drawn without replacement, whole copies first
    when the ratio is above 1; then all are shuffled.
    """

    def __init__(self, sizes, ratios, seed):
        self.sizes, self.ratios, self.seed = sizes, spread(ratios, sizes), seed
        self.length = samples_per_epoch(sizes, ratios)
        self._epoch, self._order = None, None

    def order(self, epoch):
        """int64 `[n, 2]` of an epoch; the last one asked for is kept."""
        kept = (self._epoch, self._order)  # read once: threads share this
        if kept[0] == epoch and kept[1] is not None:
            return kept[1]
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, epoch]))
        parts, first = [], 0
        for size, ratio in zip(self.sizes, self.ratios, strict=True):
            wanted, copy = round(size * ratio), 0
            while wanted > 0:
                take = min(wanted, size)
                records = first + rng.permutation(size)[:take]
                parts.append(np.stack([records, np.full(take, copy)], 1))
                wanted, copy = wanted - take, copy + 1
            first += size
        order = rng.permutation(np.concatenate(parts))
        self._epoch, self._order = epoch, order
        return order


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
        following = EpochOrder(self._order.sizes, self._order.ratios, self._order.seed)
        record, occurrence = following.order(epoch + 1)[place - len(order)]
        return epoch + 1, int(record), int(occurrence) + 1_000_000


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
        targets = draw_targets(view.polygons, view.ignore, side, side, **self.targets)
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
