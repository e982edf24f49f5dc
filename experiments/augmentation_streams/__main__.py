"""Compares both settings of `config.data.augment.streams` on synthetic scenes.

    python -m experiments.augmentation_streams --samples 4000

Each record is augmented with both settings. The difference of a quantity is the mean over the
paired differences, and its standard error is computed from them, so that differences between scenes
do not add to it.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from ml_collections import ConfigDict

from configs import ppocrv3_det_mobile
from ppocr_jax.data import STREAMS
from ppocr_jax.data.augment import AUGMENTATIONS, Entry, Job, View, generator
from ppocr_jax.data.geometry import scaled
from ppocr_jax.data.labels import read_sources
from ppocr_jax.data.resize import read_image
from ppocr_jax.data.sample import Sample
from ppocr_jax.data.scenes import write_scenes

SIDE, SCENES = 320, 60
QUANTITIES = {  # what is measured -> label of its row
    "flip": "share flipped",
    "angle": "angle, degrees",
    "scale": "scale",
    "scale_squared": "scale, squared",
    "across": "crop's width, share of the image's",
    "down": "crop's height, share of the image's",
    "left": "crop's left edge, share of the width",
    "top": "crop's upper edge, share of the height",
    "kept": "words kept, share",
    "pasted": "words pasted",
}
Estimate = tuple[float, float]  # mean, standard error


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--samples", type=int, default=4000, help="default: 4000")
    arguments.add_argument("--seed", type=int, default=0, help="default: 0")
    args = arguments.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        config = make_config(folder)
        samples = read_sources(config.data.train, folder)[0]
        drawn = {way: draw(samples, config, way, args.samples, args.seed) for way in STREAMS}
    print("\n".join(table(compare(drawn["shared"], drawn["separate"]))))


def make_config(folder: str, scenes: int = SCENES) -> ConfigDict:
    """Writes synthetic scenes into a folder; returns the mobile config for them, with pasting."""
    config = ppocrv3_det_mobile.get_config()
    config.data.root, config.data.augment.paste, config.crop = folder, True, SIDE
    write_scenes(
        folder, train_images=scenes, val_images=1, side=SIDE, seed=1,
        train_labels=config.data.train, val_labels=config.data.val,
    )  # fmt: skip
    return config


def draw(
    samples: Sequence[Sample], config: ConfigDict, way: str, count: int, seed: int
) -> dict[str, np.ndarray]:
    """Augments records in turn, epoch after epoch, and measures each result.

    Args:
        samples: the records, in order.
        config: a whole config.
        way: value of `data.augment.streams`, key of `STREAMS`.
        count: how many samples.
        seed: of the random numbers.

    Returns:
        `{quantity: float64 [count]}`.
    """
    job = Job(config.data.augment.to_dict(), config.crop, samples)
    images = [read_image(sample.image_path) for sample in samples]
    rows = []
    for number in range(count):
        epoch, record = divmod(number, len(samples))
        key = (seed, epoch, record, 0)
        stream = STREAMS[way](key, generator(key))
        rows.append(describe(images[record], samples[record], job, stream))
    return {name: np.array([row[name] for row in rows]) for name in QUANTITIES}


def describe(
    image: np.ndarray,
    sample: Sample,
    job: Job,
    stream: Callable[[Entry], np.random.Generator],
) -> dict[str, float]:
    """Augments one image and returns its quantities.

    Args:
        image: uint8 BGR `[H, W, 3]`.
        sample: its labels.
        job: options of the augmentation.
        stream: gives the random generator of an entry.
    """
    view = View(image, image.shape[:2], sample.polygons, sample.ignore)
    words = {}  # how many there are after each entry
    for entry in AUGMENTATIONS:
        view = entry.apply(view, stream(entry), job)
        words[entry.name] = len(view.polygons)
    height, width = scaled(image.shape[0], image.shape[1], view.geometry.scale)
    return {
        "flip": float(view.geometry.flip),
        "angle": view.geometry.angle,
        "scale": view.geometry.scale,
        "scale_squared": view.geometry.scale**2,
        "across": view.crop.width / width,
        "down": view.crop.height / height,
        "left": view.crop.x / width,
        "top": view.crop.y / height,
        "kept": words["draw"] / max(words["paste"], 1),
        "pasted": words["paste"] - len(sample.polygons),
    }


def compare(
    shared: Mapping[str, np.ndarray], separate: Mapping[str, np.ndarray]
) -> dict[str, tuple[Estimate, ...]]:
    """Returns `{quantity: (shared, separate, difference)}`, each with its standard error.

    Args:
        shared, separate: float `[N]` per quantity, of the same N records in the same order.
    """
    return {
        name: tuple(
            (float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5))
            for values in (shared[name], separate[name], separate[name] - shared[name])
        )
        for name in QUANTITIES
    }


def table(compared: Mapping[str, Iterable[Estimate]]) -> Iterator[str]:
    """Yields the table as lines of Markdown."""
    yield "| | shared | separate | difference | in standard errors |"
    yield "| --- | --- | --- | --- | --- |"
    for name, (shared, separate, (difference, error)) in compared.items():
        yield (
            f"| {QUANTITIES[name]} | {shared[0]:.4f} ± {shared[1]:.4f} | {separate[0]:.4f} ± "
            f"{separate[1]:.4f} | {difference:+.4f} | {difference / error:+.2f} |"
        )


if __name__ == "__main__":
    main()
