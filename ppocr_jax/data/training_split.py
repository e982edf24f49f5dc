"""The training split of a config: what is read, what is refused, and the lengths that follow."""

from ppocr_jax.data.frames import guess_frame_of
from ppocr_jax.data.label_index import join
from ppocr_jax.data.labels import read_sources, require_text
from ppocr_jax.data.order import samples_per_epoch, steps_per_epoch
from ppocr_jax.data.pipeline import Batches, make_batches
from ppocr_jax.errors import UserError


def require_learnable(parts, config):
    """Refuses what no run can learn from: no word, ratios that do not fit, too few images.

    Args:
        parts: lists of samples, one per source.
        config: a whole config.

    Returns:
        Samples of an epoch.

    Raises:
        UserError: says which.
    """
    require_text(join(parts))
    per_epoch = samples_per_epoch([len(part) for part in parts], config.data.ratios)
    require_batch(config, per_epoch)
    return per_epoch


def require_batch(config, images):
    """Refuses a batch of more than the `images` of an epoch. Raises UserError."""
    if config.batch_size > images:
        raise UserError(
            f"config.batch_size={config.batch_size} is more than the {images} images of an epoch "
            f"of {config.data.train}: take a smaller batch"
        )


class Training:
    """The training split.

    Attributes:
        samples: all of them; a batch's `record` counts in this list.
        notes: lines on how the label files were read, and on what is odd about them.
        misfit: why the labels seem to be those of other pictures, see `frames`; "" where they fit.
        epoch_images: images of an epoch.
        epoch_steps: updates of an epoch.
        total_steps: updates of the run: `config.steps`, or what the epochs need.

    The last two are those of `plan`, which a config without a batch size still needs.
    """

    def __init__(self, config):
        """Raises UserError: missing labels, no word to learn, a batch larger than an epoch."""
        self._config = config
        self.notes = []
        self._sources = read_sources(config.data.train, config.data.root, self.notes.append)
        self.samples = join(self._sources)
        self.epoch_images = require_learnable(self._sources, config)
        self.misfit = guess_frame_of(self.samples)
        if self.misfit:
            self.notes.append(f"warning: config.data.train={config.data.train}: {self.misfit}")
        if config.batch_size:
            self.plan(config)

    def plan(self, config):
        """Settles the updates by a config's batch. Raises UserError: it is more than an epoch."""
        self._config = config
        require_batch(config, self.epoch_images)
        self.epoch_steps = steps_per_epoch(
            self.epoch_images, config.batch_size, config.data.last_batch
        )
        self.total_steps = config.steps or config.epochs * self.epoch_steps

    def batches(self, start, shard, supply=None):
        """Batches from update `start` to the end; `shard` is (process, number of processes)."""
        if start == self.total_steps:
            return Batches(iter(()))
        count = self.total_steps - start
        return make_batches(self._sources, self._config, start, count, shard, supply)
