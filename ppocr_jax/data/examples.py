"""Makes training examples and batches of them, in threads or in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ppocr_jax.data import STREAMS, compact
from ppocr_jax.data.augment import Entry, Job, View, augment, generator
from ppocr_jax.data.label_index import join
from ppocr_jax.data.order import BatchIndex, EpochOrder
from ppocr_jax.data.resize import read_image
from ppocr_jax.data.sample import Problem, Sample
from ppocr_jax.data.targets import draw_targets
from ppocr_jax.errors import UserError

if TYPE_CHECKING:
    from ml_collections import ConfigDict

MAX_TRIES = 10  # records that may fail in a row before the run gives up

# Which example: (epoch, record, occurrence).
ExampleKey = tuple[int, int, int]


class MakeExample:
    """`(epoch, record, occurrence)` -> one training example.

    Args:
        samples: all samples that a record number may refer to.
        config: a whole config; seed, crop, data.augment and data.targets are read.
    """

    def __init__(self, samples: Sequence[Sample], config: ConfigDict) -> None:
        self.samples, self.seed = samples, config.seed
        self.job = Job(config.data.augment.to_dict(), config.crop, samples)
        streams = self.job.options.get("streams", "shared")
        self.make_stream = STREAMS.pick("config.data.augment.streams", streams)
        self.targets = config.data.targets.to_dict()
        self.background = self.targets["thresh_min"]

    def packed(self, key: ExampleKey) -> dict[str, Any]:
        """The example of `map`, packed by `compact.pack`."""
        return compact.pack(self.map(key), self.background)

    def stack(
        self,
        examples: Sequence[dict[str, Any]],
        allocate: Callable[..., np.ndarray] = np.empty,
    ) -> dict[str, Any]:
        """A batch of packed examples, see `compact.stack`."""
        return compact.stack(examples, self.background, allocate)

    def map(self, key: ExampleKey) -> dict[str, Any]:
        """One training example. A record that cannot be used is replaced by a random other one.

        Returns:
            `image` uint8 `[S, S, 3]` BGR; the four maps of `targets.draw_targets`, `[S, S]` each;
            `record` int32, the record that was used; `failures`, a list of (path, reason) of the
            records that could not be.

        Raises:
            UserError: `MAX_TRIES` records in a row cannot be used.
        """
        _, record, _ = key
        seeds = (self.seed, *key)
        rng = generator(seeds)
        failures: list[tuple[str, str]] = []
        # The same generator also chooses the replacement, so that is reproducible too.
        stream = self.make_stream(seeds, rng)
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
            f"{MAX_TRIES} training records in a row cannot be used; the first: {failures[0][1]}"
        )

    def example(
        self, sample: Sample, stream: Callable[[Entry], np.random.Generator]
    ) -> dict[str, Any]:
        """Image and target maps of a sample, augmented with the random numbers of `stream`.

        Raises:
            UserError: the image cannot be read, or its polygons cannot be drawn; names the record.
        """
        image, side = read_image(sample.image_path), self.job.side
        view = View(image, image.shape[:2], sample.polygons, sample.ignore)
        view = augment(view, self.job, stream)
        try:
            targets = draw_targets(view.polygons, view.ignore, side, side, **self.targets)
        except UserError as error:
            raise UserError(str(Problem(sample.source, sample.line, str(error)))) from None
        return {"image": view.image, **targets}


def first_examples(
    sources: Sequence[Sequence[Sample]], config: ConfigDict, count: int
) -> tuple[MakeExample, Iterator[tuple[ExampleKey, dict[str, Any]]]]:
    """The first examples of a run, at most one epoch, made lazily.

    Args:
        sources: sequences of samples, one per label file or folder.
        config: a whole config.
        count: number of examples.

    Returns:
        `(make, iterator of (key, example))`.

    Raises:
        UserError: `data.ratios` does not fit the sources.
    """
    order = EpochOrder([len(part) for part in sources], config.data.ratios, config.seed)
    make = MakeExample(join(sources), config)
    first = order.order(0)[:count].tolist() if order.length else []
    keys = [(0, record, occurrence) for record, occurrence in first]
    return make, ((key, make.map(key)) for key in keys)


class MakeBatch:
    """Number of a batch -> batch, in a worker process.

    Args:
        index: gives the key of every example.
        make: makes the example of a key.
        share: examples per batch, for this process.
    """

    def __init__(self, index: BatchIndex, make: MakeExample, share: int) -> None:
        self.index, self.make, self.share = index, make, share

    def __call__(
        self, number: int, allocate: Callable[..., np.ndarray] = np.empty
    ) -> dict[str, Any]:
        """The batch, with its arrays in the memory that `allocate(shape, dtype)` gives."""
        cv2.setNumThreads(1)  # OpenCV's own threads would compete with the other workers
        first = number * self.share
        examples = [self.make.packed(self.index[first + i]) for i in range(self.share)]
        return self.make.stack(examples, allocate)
