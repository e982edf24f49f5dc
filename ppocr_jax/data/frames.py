"""Labels of another picture size than their pictures have: turned, larger or smaller."""

import numpy as np

from ppocr_jax.data.image_files import is_turned, read_size
from ppocr_jax.data.polygon_faults import SLACK, off_picture

MOST_OFF = 0.3  # share of the pictures whose labels may leave them by chance
FEWEST = 5  # pictures that prove something
FAR = 1.05  # times the picture: labels that reach less far were drawn over its edge
PROBES = 100  # pictures that a run looks at before it begins
CORNER = 0.7  # of both sides, in which no labels of many pictures lie by chance


def guess_frame_of(samples):
    """The same of `labels.Sample`s: of some, spread over all, by the headers of their files."""
    chosen = [sample for sample in samples if sample.polygons][:: -(-len(samples) // PROBES) or 1]
    sizes = [(sample, read_size(sample.image_path)) for sample in chosen]
    return guess_frame(
        [(s.polygons, size, is_turned(s.image_path)) for s, size in sizes if size is not None]
    )


def guess_frame(items):
    """Why the labels do not fit the pictures, a line of advice; "" where they may well.

    Args:
        items: `(polygons, (height, width), whether EXIF turns the picture)` of pictures with text.
    """
    items = [item for item in items if item[0]]
    off = [item for item in items if _leave(item[0], item[1])]
    turned = [item for item in off if item[2]]
    fits = [item for item in turned if not _leave(item[0], item[1][::-1])]
    if fits and len(fits) > len(turned) / 2:
        return (
            f"the labels of {len(fits)} pictures fit the pictures as they are stored, but EXIF "
            "turns these: label what a viewer shows, or turn the files themselves"
        )
    if len(off) >= FEWEST and len(off) > MOST_OFF * len(items):
        reach = np.median([max(_reach(polygons, size)) for polygons, size, _ in off])
        if reach >= FAR:
            return (
                f"the labels of {len(off)} of {len(items)} pictures leave them, and reach "
                f"{reach:.2f} times as far (median): they may belong to pictures of another size"
            )
    if len(items) >= FEWEST:
        reach = np.max([_reach(polygons, size) for polygons, size, _ in items], axis=0)
        if max(reach) < CORNER:
            return (
                f"all labels of {len(items)} pictures lie in their upper left {reach[0]:.0%} x "
                f"{reach[1]:.0%}: they may belong to smaller pictures"
            )
    return ""


def _leave(polygons, size):
    return any(off_picture(polygon, size) > SLACK for polygon in polygons)


def _reach(polygons, size):
    """How far the labels reach, as shares of width and height."""
    return np.max([polygon.max(0) for polygon in polygons], axis=0) / np.array(size[::-1])
