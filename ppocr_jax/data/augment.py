"""Augmentation of a sample: `AUGMENTATIONS` lists the steps in the order they are applied.

Steps on the polygons come first, then the crop's pixels are drawn in one go, then come steps that
change only pixels. A new photometric step is a function and one line at the end of the list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

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

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    from ppocr_jax.data.sample import Sample

PASTE_TRIES = 5  # images tried as a source of words to paste

# A sample's seed key: (seed, epoch, record, occurrence).
Key = tuple[int, ...]


class View(NamedTuple):
    """A sample on its way through the steps.

    Attributes:
        image: uint8 `[H, W, 3]` BGR: the whole image until the crop is drawn, then the crop. None
            if only the polygons are wanted.
        size: (height, width) of the image that the polygons refer to, pixels.
        polygons: float32 `[P, 2]` each.
        ignore: bool per polygon.
        geometry: the flip, rotation and scale that were sampled.
        crop: the rectangle that was sampled, in pixels of the transformed image.
    """

    image: UInt8[np.ndarray, "H W 3"] | None
    size: tuple[int, int]
    polygons: Sequence[Float[np.ndarray, "_ 2"]]
    ignore: Sequence[bool]
    geometry: Geometry = Geometry(False, 0.0, 1.0)
    crop: Crop = Crop(0, 0, 0, 0)


class Job(NamedTuple):
    """What the steps need besides the sample.

    Attributes:
        options: `config.data.augment`, as a dict.
        side: side of the square crop, pixels.
        samples: the samples whose words may be pasted.
    """

    options: dict[str, Any]
    side: int
    samples: Sequence[Sample] = ()


class Entry(NamedTuple):
    """One step of the list.

    Attributes:
        name: its random stream is derived from this name.
        apply: `(view, rng, job) -> View`.
        pixels: whether it needs pixels; it is skipped when the view has none.
        published: whether it uses the sample's own generator with `streams="shared"`.
    """

    name: str
    apply: Callable[[View, np.random.Generator, Job], View]
    pixels: bool = False
    published: bool = False


def paste(view: View, rng: np.random.Generator, job: Job) -> View:
    """Pastes words of another, randomly chosen sample; does nothing if no sample tried is fit.

    A sample is fit if it can be read, has words, and all of them are quads.
    """
    if not job.options["paste"] or view.image is None:
        return view
    for _ in range(PASTE_TRIES):
        other = job.samples[int(rng.integers(len(job.samples)))]
        if not other.polygons or any(len(polygon) != 4 for polygon in other.polygons):
            continue
        try:
            donor = read_image(other.image_path)
        except UserError:
            continue  # reported when this image is itself the sample
        image, polygons, ignore = paste_words(
            rng, view.image, view.polygons, view.ignore, donor, other.polygons, other.ignore,
            job.options["paste_ratio"],
        )  # fmt: skip
        return view._replace(image=image, polygons=polygons, ignore=ignore)
    return view


def move(view: View, rng: np.random.Generator, job: Job) -> View:
    """Flips, rotates and scales the polygons; pixels follow in `draw`."""
    options = {name: job.options[name] for name in ("flip", "rotate", "scale")}
    geometry = draw_geometry(rng, **options)
    polygons, size = move_polygons(view.polygons, *view.size, geometry)
    return view._replace(polygons=polygons, size=size, geometry=geometry)


def choose(view: View, rng: np.random.Generator, job: Job) -> View:
    """Chooses the rectangle that the crop will show."""
    # The geometry is already applied to polygons and size, so the crop is one of the moved image.
    crop = choose_crop(
        rng, view.polygons, view.ignore, *view.size,
        tries=job.options["crop_tries"], min_side=job.options["min_crop_side"],
        wordless=job.options.get("wordless", "whole"),
    )  # fmt: skip
    return view._replace(crop=crop)


def draw(view: View, rng: np.random.Generator, job: Job) -> View:
    """Draws the crop: its pixels, and the polygons inside it. Nothing here is random.

    Geometry and crop are applied to the pixels together, in one or two resamplings: that blurs less
    than one for each, and pixels outside the crop are never computed.
    """
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
    # Steps that change pixels of the finished crop go here: Entry("name", function, pixels=True).
)


def augment(view: View, job: Job, stream: Callable[[Entry], np.random.Generator]) -> View:
    """Applies all steps of `AUGMENTATIONS` to a sample.

    Args:
        view: the original sample.
        job: see `Job`.
        stream: gives the random generator of a step, as `shared_stream` and `separate_stream` do.

    Returns:
        The `View` of the square crop: its polygons and, if `view` had an image, its pixels.
    """
    for entry in AUGMENTATIONS:
        # Checks of the labels ask for polygons alone, and skip the steps on pixels.
        if view.image is not None or not entry.pixels:
            view = entry.apply(view, stream(entry), job)
    return view


def generator(key: Key, name: str = "") -> np.random.Generator:
    """The random generator of a sample, or of one step of it.

    Args:
        key: (seed, epoch, record, occurrence), integers from 0.
        name: of a step; its letters become part of the seed, so no two names share a stream.
    """
    return np.random.default_rng(np.random.SeedSequence([*key, *name.encode()]))


def shared_stream(key: Key, rng: np.random.Generator) -> Callable[[Entry], np.random.Generator]:
    """Published steps share `rng`, the sample's generator; every other step has its own stream.

    The published steps draw one after the other, so batches stay what they have always been. A new
    step never changes their random numbers, wherever it is in the list.
    """
    return lambda entry: rng if entry.published else generator(key, entry.name)


def separate_stream(key: Key, rng: np.random.Generator) -> Callable[[Entry], np.random.Generator]:
    """Every step has its own stream, so switching one on or off changes no other step's numbers."""
    return lambda entry: generator(key, entry.name)
