"""What both values of `config.data.augment.streams` draw, on synthetic scenes, beside each other.

    python -m experiments.augmentation_streams --samples 4000

Each sample is drawn twice, once per value, of the same record. The difference of a quantity is the
mean of the samples' differences; its standard error is theirs, so that scenes that differ among
themselves do not blur it.
"""

import argparse
import tempfile

import numpy as np

from configs import ppocrv3_det_mobile
from ppocr_jax.data import STREAMS
from ppocr_jax.data.augment import AUGMENTATIONS, Job, View, generator
from ppocr_jax.data.geometry import scaled
from ppocr_jax.data.labels import read_sources
from ppocr_jax.data.resize import read_image
from ppocr_jax.data.scenes import write_scenes

SIDE, SCENES = 320, 60
QUANTITIES = {  # what is measured -> what its row is called
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


def main(argv=None):
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--samples", type=int, default=4000)
    arguments.add_argument("--seed", type=int, default=0)
    args = arguments.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        config = make_config(folder)
        samples = read_sources(config.data.train, folder)[0]
        drawn = {way: draw(samples, config, way, args.samples, args.seed) for way in STREAMS}
    print("\n".join(table(compare(drawn["shared"], drawn["separate"]))))


def make_config(folder, scenes=SCENES):
    """The mobile config with pasting, over scenes drawn into a folder."""
    config = ppocrv3_det_mobile.get_config()
    config.data.root, config.data.augment.paste, config.crop = folder, True, SIDE
    write_scenes(
        folder, train_images=scenes, val_images=1, side=SIDE, seed=1,
        train_labels=config.data.train, val_labels=config.data.val,
    )  # fmt: skip
    return config


def draw(samples, config, way, count, seed):
    """`{quantity: float64 [count]}`, the n-th sample of record n modulo their number."""
    job = Job(config.data.augment.to_dict(), config.crop, samples)
    images = [read_image(sample.image_path) for sample in samples]
    rows = []
    for number in range(count):
        epoch, record = divmod(number, len(samples))
        key = (seed, epoch, record, 0)
        stream = STREAMS[way](key, generator(key))
        rows.append(describe(images[record], samples[record], job, stream))
    return {name: np.array([row[name] for row in rows]) for name in QUANTITIES}


def describe(image, sample, job, stream):
    """The quantities of one sample."""
    view = View(image, image.shape[:2], sample.polygons, sample.ignore)
    words = {}  # after each entry
    for entry in AUGMENTATIONS:
        view = entry.apply(view, stream(entry), job)
        words[entry.name] = len(view.polygons)
    height, width = scaled(*image.shape[:2], view.geometry.scale)
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


def compare(shared, separate):
    """`{quantity: ((mean, standard error) of both, (difference, its standard error))}`."""
    return {
        name: tuple(
            (float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5))
            for values in (shared[name], separate[name], separate[name] - shared[name])
        )
        for name in QUANTITIES
    }


def table(compared):
    """Lines of Markdown."""
    yield "| | shared | separate | difference | in standard errors |"
    yield "| --- | --- | --- | --- | --- |"
    for name, (shared, separate, (difference, error)) in compared.items():
        yield (
            f"| {QUANTITIES[name]} | {shared[0]:.4f} ± {shared[1]:.4f} | {separate[0]:.4f} ± "
            f"{separate[1]:.4f} | {difference:+.4f} | {difference / error:+.2f} |"
        )


if __name__ == "__main__":
    main()
