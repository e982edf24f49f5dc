"""A training example, and a batch of them: made by threads here, by worker processes elsewhere."""

import cv2
import numpy as np

from ppocr_jax.data import STREAMS
from ppocr_jax.data.augment import Job, View, augment, generator
from ppocr_jax.data.label_index import join
from ppocr_jax.data.order import EpochOrder
from ppocr_jax.data.resize import read_image
from ppocr_jax.data.sample import Problem
from ppocr_jax.data.targets import draw_targets
from ppocr_jax.errors import UserError

MAX_TRIES = 10  # other records tried in place of one that fails


class MakeExample:
    """`(epoch, record, occurrence)` -> one training example."""

    def __init__(self, samples, config):
        self.samples, self.seed = samples, config.seed
        self.job = Job(config.data.augment.to_dict(), config.crop, samples)
        streams = self.job.options.get("streams", "shared")
        self.make_stream = STREAMS.pick("config.data.augment.streams", streams)
        self.targets = config.data.targets.to_dict()

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


def first_examples(sources, config, count):
    """`(make, [(key, example)])`: the examples that a run begins with, at most an epoch's.

    Args:
        sources: lists of samples, one per source.
        config: a whole config.
        count: how many are made, lazily.

    Raises:
        UserError: ratios that do not fit the sources.
    """
    order = EpochOrder([len(part) for part in sources], config.data.ratios, config.seed)
    make = MakeExample(join(sources), config)
    first = order.order(0)[:count].tolist() if order.length else []
    keys = [(0, record, occurrence) for record, occurrence in first]
    return make, ((key, make.map(key)) for key in keys)


def stack(examples):
    """A batch from examples: arrays stacked under their names, failures joined."""
    batch = {
        name: np.stack([example[name] for example in examples])
        for name in examples[0]
        if name != "failures"
    }
    batch["failures"] = [failure for example in examples for failure in example["failures"]]
    return batch


class MakeBatch:
    """Number of a batch -> batch, in a worker process."""

    def __init__(self, index, make, share):
        """`share` examples each, which `make` makes of the entries of `index`."""
        self.index, self.make, self.share = index, make, share

    def __call__(self, number):
        cv2.setNumThreads(1)  # its own threads would fight with the other workers
        first = number * self.share
        return stack([self.make.map(self.index[first + i]) for i in range(self.share)])
