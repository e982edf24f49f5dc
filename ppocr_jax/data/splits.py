"""Prepares the folder of a config's images, and reads its validation split."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ppocr_jax.data.image_files import exists
from ppocr_jax.data.label_index import join
from ppocr_jax.data.labels import place_of, read_sources, split_sources
from ppocr_jax.data.roots import guess_root
from ppocr_jax.data.sample import Sample
from ppocr_jax.data.scenes import read_record, write_scenes
from ppocr_jax.errors import UserError

if TYPE_CHECKING:
    from ml_collections import ConfigDict


def prepare_root(config: ConfigDict, draws: bool = True) -> None:
    """Makes sure that the folder of the images exists, and generates synthetic scenes if asked to.

    A folder that already holds the same scenes is not touched.

    Args:
        config: a whole config; `data` is read.
        draws: whether scenes may be generated. The config that came with weights must not write
            files; with it, the scenes have to be there already.

    Raises:
        UserError: the folder is not named, does not exist, or does not hold the scenes.
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


def _require_scenes(data: ConfigDict) -> None:
    """Refuses a folder without the validation scenes that a config asks for.

    The user may have named a folder of other images instead: a folder without `scenes.json` is
    accepted if it holds the label files.
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
            f"{data.draw.seed}) of the config that came with the weights, and such a config writes "
            "nothing: generate them with the run's own config file, python -m ppocr_jax.check_data "
            "--config FILE, or name other images with --config.data.root and --config.data.val"
        )


def read_validation(
    config: ConfigDict, say: Callable[[str], object] | None = None
) -> Sequence[Sample]:
    """The samples of `config.data.val`.

    Args:
        config: a whole config; `data` is read.
        say: called with each line on how the label files were read.

    Raises:
        UserError: a label file or an image is missing, or there is no image.
    """
    samples = join(read_sources(config.data.val, config.data.root, say))
    require_images(samples, config)
    return samples


def require_images(samples: Sequence[Sample], config: ConfigDict) -> None:
    """Refuses a validation split that is empty or lacks an image.

    Raises:
        UserError: names the first missing image and, if found, the folder that has the images.
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
