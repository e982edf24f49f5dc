"""Reads the training split of a config, and plans the steps of an epoch and of the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ppocr_jax.data.frames import guess_frame_of
from ppocr_jax.data.label_index import join
from ppocr_jax.data.labels import read_sources, require_text
from ppocr_jax.data.order import samples_per_epoch, steps_per_epoch
from ppocr_jax.data.pipeline import Batches, Supply, make_batches
from ppocr_jax.data.sample import Sample
from ppocr_jax.errors import UserError

if TYPE_CHECKING:
    from ml_collections import ConfigDict


def require_learnable(parts: Sequence[Sequence[Sample]], config: ConfigDict) -> int:
    """Refuses data that no run can learn from.

    Args:
        parts: samples of each source.
        config: a whole config.

    Returns:
        The number of samples of an epoch.

    Raises:
        UserError: no word to learn, ratios that do not fit the sources, or too few images.
    """
    require_text(join(parts))
    per_epoch = samples_per_epoch([len(part) for part in parts], config.data.ratios)
    require_batch(config, per_epoch)
    return per_epoch


def require_batch(config: ConfigDict, images: int) -> None:
    """Raises UserError: the batch size exceeds the `images` of an epoch."""
    if config.batch_size > images:
        raise UserError(
            f"config.batch_size={config.batch_size} is more than the {images} images of an epoch "
            f"of {config.data.train}: use a smaller batch size"
        )


class Training:
    """The training split.

    Args:
        config: a whole config.

    Attributes:
        samples: all samples; a batch's `record` is a number in this sequence.
        notes: lines of text on how the label files were read, and on oddities.
        misfit: why the labels seem to belong to other images, see `frames`; "" if they fit.
        epoch_images: images of an epoch.
        epoch_steps: steps of an epoch.
        total_steps: steps of the run: `config.steps`, or those of its epochs.

    The last two exist after `plan`, which is still to be called if the config has no batch size.

    Raises:
        UserError: missing labels, no word to learn, or a batch larger than an epoch.
    """

    def __init__(self, config: ConfigDict) -> None:
        self._config = config
        self.notes: list[str] = []
        self._sources = read_sources(config.data.train, config.data.root, self.notes.append)
        self.samples = join(self._sources)
        self.epoch_images = require_learnable(self._sources, config)
        self.misfit = guess_frame_of(self.samples)
        if self.misfit:
            self.notes.append(f"warning: config.data.train={config.data.train}: {self.misfit}")
        if config.batch_size:
            self.plan(config)

    def plan(self, config: ConfigDict) -> None:
        """Sets the numbers of steps from the batch size. Raises UserError: it exceeds an epoch."""
        self._config = config
        require_batch(config, self.epoch_images)
        self.epoch_steps = steps_per_epoch(
            self.epoch_images, config.batch_size, config.data.last_batch
        )
        self.total_steps: int = config.steps or config.epochs * self.epoch_steps

    def batches(self, start: int, shard: tuple[int, int], supply: Supply | None = None) -> Batches:
        """Batches from step `start` to the end; `shard` is (process, number of processes)."""
        if start == self.total_steps:
            return Batches(iter(()))
        count = self.total_steps - start
        return make_batches(self._sources, self._config, start, count, shard, supply)
