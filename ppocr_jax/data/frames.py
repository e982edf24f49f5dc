"""Labels of another picture size than their pictures have: turned, larger or smaller."""

from typing import NamedTuple

import numpy as np

from ppocr_jax.data.image_files import is_turned, read_size
from ppocr_jax.data.polygon_faults import SLACK

MOST_OFF = 0.3  # share of the pictures whose labels may leave them by chance
FEWEST = 5  # pictures that prove something
FAR = 1.05  # times the picture: labels that reach less far were drawn over its edge
PROBES = 100  # pictures that a run looks at before it begins
CORNER = 0.7  # of both sides, in which no labels of many pictures lie by chance


class Extents(NamedTuple):
    """How far the labels of N pictures reach, of those that have any.

    Attributes:
        low, high: float32 `[N, 2]`, the smallest and largest (x, y) of their points, pixels.
        sizes: int `[N, 2]`, (height, width) of the pictures.
        turned: bool `[N]`, whether EXIF turns them.
    """

    low: np.ndarray
    high: np.ndarray
    sizes: np.ndarray
    turned: np.ndarray

    @classmethod
    def of(cls, tables):
        """From `(label_index.Table, sizes, turned)` of some pictures after the other."""
        parts = []
        for table, sizes, turned in tables:
            inside = np.add.reduceat(np.append(table.counts, 0), _starts(table.polygons))
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
    def of_pictures(cls, items):
        """From `(polygons, (height, width), whether EXIF turns it)` of pictures."""
        items = [item for item in items if len(item[0])]
        points = [np.concatenate(polygons) for polygons, _, _ in items]
        return cls(
            np.array([p.min(0) for p in points], np.float32).reshape(-1, 2),
            np.array([p.max(0) for p in points], np.float32).reshape(-1, 2),
            np.array([size for _, size, _ in items], int).reshape(-1, 2),
            np.array([turned for _, _, turned in items], bool),
        )


def _starts(sizes):
    return np.cumsum(sizes) - sizes


def guess_frame_of(samples):
    """`guess_frame` of some samples, spread over all, by the headers of their files."""
    chosen = [samples[i] for i in range(0, len(samples), -(-len(samples) // PROBES) or 1)]
    seen = [(s.polygons, read_size(s.image_path), is_turned(s.image_path)) for s in chosen]
    return guess_frame(Extents.of_pictures([item for item in seen if item[1] is not None]))


def guess_frame(extents):
    """Why the labels do not fit the pictures, a line of advice; "" where they may well.

    Args:
        extents: `Extents`.
    """
    off = _leave(extents, extents.sizes)
    turned = off & extents.turned
    fits = turned & ~_leave(extents, extents.sizes[:, ::-1])
    reach, total = extents.high / extents.sizes[:, ::-1], len(off)
    if fits.sum() > turned.sum() / 2:
        return (
            f"the labels of {fits.sum()} pictures fit the pictures as they are stored, but EXIF "
            "turns these: label what a viewer shows, or turn the files themselves"
        )
    if off.sum() >= FEWEST and off.sum() > MOST_OFF * total:
        far = np.median(reach[off].max(1))
        if far >= FAR:
            return (
                f"the labels of {off.sum()} of {total} pictures leave them, and reach {far:.2f} "
                "times as far (median): they may belong to pictures of another size"
            )
    if total >= FEWEST:
        reach = reach.max(0)
        if max(reach) < CORNER:
            return (
                f"all labels of {total} pictures lie in their upper left {reach[0]:.0%} x "
                f"{reach[1]:.0%}: they may belong to smaller pictures"
            )
    return ""


def _leave(extents, sizes):
    """Which pictures some label leaves."""
    over = extents.high - sizes[:, ::-1].astype(np.float32)
    return np.maximum(-extents.low, over).max(1, initial=-np.inf) > SLACK
