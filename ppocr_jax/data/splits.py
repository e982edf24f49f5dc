"""Where the images of a config lie, and its validation split: what is read and what is refused."""

import os

from ppocr_jax.data.labels import read_sources
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


def read_validation(config, say=None):
    """The labelled images of `config.data.val`, a list of samples.

    `say` is called with every line on how the label files were read.

    Raises:
        UserError: a label file or an image is missing, or there is none.
    """
    samples = [s for part in read_sources(config.data.val, config.data.root, say) for s in part]
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
