"""The two splits of a config: what is read, what is refused, and the lengths that follow."""

import os

from ppocr_jax.data.labels import read_sources
from ppocr_jax.data.pipeline import (
    Batches,
    make_batches,
    require_text,
    samples_per_epoch,
    steps_per_epoch,
)
from ppocr_jax.data.scenes import write_scenes
from ppocr_jax.errors import UserError


def prepare_root(config):
    """Sees to the folder of the images: drawn when the config asks for it, else given.

    A folder that already holds the same scenes is left as it is.

    Raises:
        UserError: the folder is not named or not there.
    """
    data = config.data
    if not data.root:
        raise UserError("config.data.root is empty: give the folder of the images")
    if data.draw.train or data.draw.val:
        write_scenes(
            data.root,
            train_images=data.draw.train,
            val_images=data.draw.val,
            side=data.draw.side,
            seed=data.draw.seed,
            train_labels=data.train,
            val_labels=data.val,
        )
    if not os.path.isdir(data.root):
        raise UserError(f"config.data.root={data.root}: there is no such folder")


def read_validation(config):
    """The labelled images of `config.data.val`, a list of samples.

    Raises:
        UserError: a label file or an image is missing, or there is none.
    """
    samples = [s for part in read_sources(config.data.val, config.data.root) for s in part]
    if not samples:
        raise UserError(f"{config.data.val}: holds no image to evaluate")
    missing = [sample for sample in samples if not os.path.isfile(sample.image_path)]
    if missing:
        sample = missing[0]
        raise UserError(
            f"{sample.source} line {sample.line}: {sample.image_path} is missing, and "
            f"{len(missing) - 1} more images; check config.data.root"
        )
    return samples


class Training:
    """The training split.

    Attributes:
        samples: all of them; a batch's `record` counts in this list.
        epoch_steps: updates of an epoch.
        total_steps: updates of the run: `config.steps`, or what the epochs need.
    """

    def __init__(self, config):
        """Raises UserError: missing labels, no word to learn, a batch larger than an epoch."""
        self._config = config
        self._sources = read_sources(config.data.train, config.data.root)
        self.samples = [sample for part in self._sources for sample in part]
        require_text(self.samples)
        per_epoch = samples_per_epoch([len(part) for part in self._sources], config.data.ratios)
        if config.batch_size > per_epoch:
            raise UserError(
                f"config.batch_size={config.batch_size} is more than the {per_epoch} images of "
                f"{config.data.train}: take a smaller batch"
            )
        self.epoch_steps = steps_per_epoch(per_epoch, config.batch_size, config.data.last_batch)
        self.total_steps = config.steps or config.epochs * self.epoch_steps

    def batches(self, start, shard):
        """Batches from update `start` to the end; `shard` is (process, number of processes)."""
        if start == self.total_steps:
            return Batches(iter(()))
        return make_batches(self._sources, self._config, start, self.total_steps - start, shard)
