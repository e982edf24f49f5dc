"""Augmentation of a sample: `AUGMENTATIONS` is the list of its steps, in the order they are taken.

First everything that concerns polygons, then the pixels of the crop in one go, then what changes
pixels alone. A new photometric step is a function and its line at the end of the list.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ppocr_jax.data.drawing import draw_view
from ppocr_jax.data.geometry import (
    Crop,
    Geometry,
    choose_crop,
    crop_polygons,
    draw_geometry,
    move_polygons,
)
from ppocr_jax.data.paste import paste_words
from ppocr_jax.data.resize import read_image
from ppocr_jax.errors import UserError

PASTE_TRIES = 5  # images looked at for words to paste


class View(NamedTuple):
    """A sample on its way through the list.

    Attributes:
        image: uint8 `[H, W, 3]` BGR: the file's until the crop is drawn, then the crop's. None
            where only polygons are asked for.
        size: (height, width) that the polygons live in, pixels.
        polygons: float32 `[P, 2]` each.
        ignore: bool per polygon.
        geometry, crop: what was drawn of them.
    """

    image: np.ndarray | None
    size: tuple[int, int]
    polygons: Sequence[np.ndarray]
    ignore: Sequence[bool]
    geometry: Geometry = Geometry(False, 0.0, 1.0)
    crop: Crop = Crop(0, 0, 0, 0)


class Job(NamedTuple):
    """What the steps are told besides the sample.

    Attributes:
        options: `config.data.augment`, as a dict.
        side: of the square canvas, pixels.
        samples: `data.labels.Sample`s whose words may be pasted.
    """

    options: dict[str, Any]
    side: int
    samples: Sequence[Any] = ()


class Entry(NamedTuple):
    """A step of the list.

    Attributes:
        name: that its stream of random numbers is derived from.
        apply: `(view, rng, job) -> View`.
        pixels: whether it needs them; it is left out where there are none.
        published: whether it draws from the sample's own generator with `streams="shared"`.
    """

    name: str
    apply: Callable[[View, np.random.Generator, Job], View]
    pixels: bool = False
    published: bool = False


def paste(view, rng, job):
    """Words of another record, drawn at random, pasted in; of none if none has a quad."""
    if not job.options["paste"]:
        return view
    for _ in range(PASTE_TRIES):
        other = job.samples[int(rng.integers(len(job.samples)))]
        if not other.polygons or any(len(polygon) != 4 for polygon in other.polygons):
            continue
        try:
            donor = read_image(other.image_path)
        except UserError:
            continue  # named when its own turn comes
        image, polygons, ignore = paste_words(
            rng, view.image, view.polygons, view.ignore, donor, other.polygons, other.ignore,
            job.options["paste_ratio"],
        )  # fmt: skip
        return view._replace(image=image, polygons=polygons, ignore=ignore)
    return view


def move(view, rng, job):
    """Flip, rotation and scale, of the polygons alone."""
    options = {name: job.options[name] for name in ("flip", "rotate", "scale")}
    geometry = draw_geometry(rng, **options)
    polygons, size = move_polygons(view.polygons, *view.size, geometry)
    return view._replace(polygons=polygons, size=size, geometry=geometry)


def choose(view, rng, job):
    """The rectangle that the crop will show."""
    crop = choose_crop(
        rng, view.polygons, view.ignore, *view.size,
        tries=job.options["crop_tries"], min_side=job.options["min_crop_side"],
        wordless=job.options.get("wordless", "whole"),
    )  # fmt: skip
    return view._replace(crop=crop)


def draw(view, rng, job):
    """The crop itself: its pixels, and what is left of the polygons in it. Nothing is random."""
    canvas = (job.side, job.side)
    polygons, ignore = crop_polygons(view.polygons, view.ignore, view.crop, canvas)
    image = view.image
    if image is not None:
        image = draw_view(image, view.geometry, view.crop, canvas)
    return view._replace(image=image, size=canvas, polygons=polygons, ignore=ignore)


AUGMENTATIONS = (
    Entry("paste", paste, pixels=True, published=True),
    Entry("geometry", move, published=True),
    Entry("crop", choose, published=True),
    Entry("draw", draw, published=True),
    # Steps that change the pixels of the drawn crop go here: Entry("name", function, pixels=True).
)


def augment(view, job, stream):
    """The sample after all steps of `AUGMENTATIONS`.

    Args:
        view: of the sample as it lies in its file.
        job: see `Job`.
        stream: `entry -> numpy Generator`, such as `shared_stream` gives.

    Returns:
        `View` with the square canvas' polygons and, where it began with an image, its pixels.
    """
    for entry in AUGMENTATIONS:
        if view.image is not None or not entry.pixels:
            view = entry.apply(view, stream(entry), job)
    return view


def generator(key, name=""):
    """The generator of a sample, or that of one step of it.

    Args:
        key: (seed, epoch, record, occurrence), whole numbers from 0.
        name: of a step; its letters join the key, so that no two names share a stream.
    """
    return np.random.default_rng(np.random.SeedSequence([*key, *name.encode()]))


def shared_stream(key, rng):
    """Published steps draw from `rng`, the sample's generator, one after the other.

    This keeps every sample what it has always been. Any other step has a stream of its own even
    here: wherever it stands in the list, it moves none of the published numbers.
    """
    return lambda entry: rng if entry.published else generator(key, entry.name)


def separate_stream(key, rng):
    """Every step has a stream of its own: none of them moves the numbers of another."""
    return lambda entry: generator(key, entry.name)
