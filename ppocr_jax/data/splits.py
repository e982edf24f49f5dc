"""Where the images of a config lie, and its validation split: what is read and what is refused."""

import os

from ppocr_jax.data.image_files import exists
from ppocr_jax.data.label_index import join
from ppocr_jax.data.labels import place_of, read_sources, split_sources
from ppocr_jax.data.roots import guess_root
from ppocr_jax.data.scenes import read_record, write_scenes
from ppocr_jax.errors import UserError


def prepare_root(config, draws=True):
    """Sees to the folder of the images: drawn when the config asks for it, else given.

    A folder that already holds the same scenes is left as it is.

    Args:
        config: a whole config.
        draws: whether it may make the program draw. One that came with weights may not: then its
            scenes are used where they are.

    Raises:
        UserError: the folder is not named or not there, or does not hold the scenes.
    """
    data = config.data
    if not data.root:
        raise UserError("config.data.root is empty: give the folder of the images")
    if (data.draw.train or data.draw.val) and not draws:
        _require_scenes(data)
    elif data.draw.train or data.draw.val:
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


def _require_scenes(data):
    """Refuses a folder without the validation scenes that a config asks for.

    Other images may lie there, by a root and labels that the user has named: a folder without a
    record of scenes is taken as it is, if only it holds the labels.
    """
    drawn = read_record(data.root)
    wanted = {"val": data.draw.val, "side": data.draw.side, "seed": data.draw.seed}
    if drawn is None:
        labels = split_sources(data.val)
        there = all(os.path.exists(os.path.join(data.root, name)) for name in labels)
    else:
        there = "unfinished" not in drawn and wanted.items() <= drawn.items()
    if not there:
        raise UserError(
            f"{data.root}: does not hold the {data.draw.val} scenes (side {data.draw.side}, seed "
            f"{data.draw.seed}) of the config that came with the weights, and such a config draws "
            "nothing: draw them with the run's own config file, python -m ppocr_jax.check_data "
            "--config FILE, or name other images with --config.data.root and --config.data.val"
        )


def read_validation(config, say=None):
    """The labelled images of `config.data.val`, a list of samples.

    `say` is called with every line on how the label files were read.

    Raises:
        UserError: a label file or an image is missing, or there is none.
    """
    samples = join(read_sources(config.data.val, config.data.root, say))
    require_images(samples, config)
    return samples


def require_images(samples, config):
    """Refuses a validation split that is empty, or of which an image is missing.

    Raises:
        UserError: names the first, and the folder in which the images are, where that is found.
    """
    if not samples:
        raise UserError(f"{config.data.val}: holds no image to evaluate")
    missing = [sample for sample in samples if not exists(sample.image_path)]
    if missing:
        sample, others = missing[0], len(missing) - 1
        more = f", and {others} more images" if others else ""
        hint = guess_root(config, "val", [sample.image_path for sample in samples])
        raise UserError(
            f"{place_of(sample)}: {sample.image_path} is missing{more}; "
            + (hint or "check config.data.root")
        )
