"""Detects labels made for another image size: rotated by EXIF, enlarged or reduced."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ppocr_jax.data.image_files import is_turned, read_size
from ppocr_jax.data.polygon_faults import SLACK

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, Int

    from ppocr_jax.data.label_index import Table
    from ppocr_jax.data.sample import Sample

MOST_OFF = 0.3  # share of the images whose labels may extend beyond them by chance
FEWEST = 5  # images needed as evidence
FAR = 1.05  # of the image's size; labels that extend less far were drawn over its edge
PROBES = 100  # images that a run examines before it begins
CORNER = 0.7  # of both sides; the labels of many images do not all stay inside that by chance


class Extents(NamedTuple):
    """How far labels extend, for N images that have any.

    Attributes:
        low, high: float32 `[N, 2]`, smallest and largest (x, y) of an image's points, pixels.
        sizes: int `[N, 2]`, (height, width) of the images.
        turned: bool `[N]`, whether EXIF rotates or flips them.
    """

    low: Float32[np.ndarray, "N 2"]
    high: Float32[np.ndarray, "N 2"]
    sizes: Int[np.ndarray, "N 2"]
    turned: Bool[np.ndarray, " N"]

    @classmethod
    def of(cls, tables: Iterable[tuple[Table, np.ndarray, np.ndarray]]) -> Extents:
        """From `(table, sizes, turned)` of consecutive images."""
        parts = []
        for table, sizes, turned in tables:
            inside = np.add.reduceat(np.append(table.counts, 0), _starts(table.polygons))
            # `reduceat` gives an empty group the value of the next one.
            inside = np.where(table.polygons > 0, inside, 0)
            some = inside > 0
            starts = _starts(inside)[some]
            if len(starts):
                low = np.minimum.reduceat(table.points, starts)
                high = np.maximum.reduceat(table.points, starts)
                parts.append((low, high, sizes[some], turned[some]))
        none = np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)
        parts.append((*none, np.zeros((0, 2), int), np.zeros(0, bool)))
        return cls(*map(np.concatenate, zip(*parts, strict=True)))

    @classmethod
    def of_pictures(
        cls, items: Iterable[tuple[Sequence[np.ndarray], Sequence[int], bool]]
    ) -> Extents:
        """From `(polygons, (height, width), whether EXIF rotates or flips it)` of each image."""
        labelled = [item for item in items if len(item[0])]
        points = [np.concatenate(polygons) for polygons, _, _ in labelled]
        return cls(
            np.array([p.min(0) for p in points], np.float32).reshape(-1, 2),
            np.array([p.max(0) for p in points], np.float32).reshape(-1, 2),
            np.array([size for _, size, _ in labelled], int).reshape(-1, 2),
            np.array([turned for _, _, turned in labelled], bool),
        )


def _starts(sizes: np.ndarray) -> np.ndarray:
    """Where each of consecutive groups begins."""
    return np.cumsum(sizes) - sizes


def guess_frame_of(samples: Sequence[Sample]) -> str:
    """`guess_frame` for up to `PROBES` samples, evenly spread, from the headers of their files."""
    chosen = [samples[i] for i in range(0, len(samples), -(-len(samples) // PROBES) or 1)]
    seen: list[tuple[Any, Any, bool]] = [
        (s.polygons, read_size(s.image_path), is_turned(s.image_path)) for s in chosen
    ]
    return guess_frame(Extents.of_pictures([item for item in seen if item[1] is not None]))


def guess_frame(extents: Extents) -> str:
    """Why the labels do not fit the images, as a line of advice; "" if they seem to fit."""
    off = _leave(extents, extents.sizes)
    turned = off & extents.turned
    fits = turned & ~_leave(extents, extents.sizes[:, ::-1])
    reach, total = extents.high / extents.sizes[:, ::-1], len(off)
    # --- labels of the stored pixels, before EXIF
    if fits.sum() > turned.sum() / 2:
        return (
            f"the labels of {fits.sum()} images fit the stored pixels, but EXIF rotates or flips "
            "these images: label what a viewer shows, or apply the rotation to the files"
        )
    # --- labels of larger images
    if off.sum() >= FEWEST and off.sum() > MOST_OFF * total:
        far = np.median(reach[off].max(1))
        if far >= FAR:
            return (
                f"the labels of {off.sum()} of {total} images leave them and reach {far:.2f} "
                "times as far (median): they may belong to images of another size"
            )
    # --- labels of smaller images
    if total >= FEWEST:
        reach = reach.max(0)
        if max(reach) < CORNER:
            return (
                f"all labels of {total} images lie in their upper left {reach[0]:.0%} x "
                f"{reach[1]:.0%}: they may belong to smaller images"
            )
    return ""


def _leave(extents: Extents, sizes: np.ndarray) -> Bool[np.ndarray, " N"]:
    """Whether labels extend beyond their image, if the images had these sizes."""
    over = extents.high - sizes[:, ::-1].astype(np.float32)
    return np.maximum(-extents.low, over).max(1, initial=-np.inf) > SLACK
