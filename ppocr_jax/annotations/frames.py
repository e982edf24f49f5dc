"""Decides which way up labels are: as drawn on the upright image, or on its stored pixels.

Cameras store an image as the sensor was held and note in EXIF how to rotate it. Most labelling
tools show it upright and write labels for that; older ones ignore EXIF. If a label file states the
size of the image and the rotation swaps the sides, the size tells which; otherwise the labels are
assumed to be for the upright image.
"""

import os
from collections.abc import Callable
from typing import IO, NamedTuple

import numpy as np
from PIL import Image

from ppocr_jax.annotations.records import LabelledImage
from ppocr_jax.data.image_files import FORMATS, find_orientation

SAME_SHAPE = 0.01  # by which aspect ratios may differ when labels fit any size

Rotation = Callable[[np.ndarray, np.ndarray, int, int], tuple[np.ndarray, np.ndarray]]

# EXIF orientation -> function of x, y and the stored image's width and height to upright (x, y).
ROTATIONS: dict[int, Rotation] = {
    1: lambda x, y, w, h: (x, y),
    2: lambda x, y, w, h: (w - x, y),
    3: lambda x, y, w, h: (w - x, h - y),
    4: lambda x, y, w, h: (x, h - y),
    5: lambda x, y, w, h: (y, x),
    6: lambda x, y, w, h: (h - y, x),
    7: lambda x, y, w, h: (h - y, w - x),
    8: lambda x, y, w, h: (y, w - x),
}


class Frame(NamedTuple):
    """How labels map to the upright image: rotated, then scaled.

    Attributes:
        turn: EXIF orientation to apply, 1 for none.
        width: of the stored image, pixels.
        height: of the stored image, pixels.
        scale: factors for (x, y).
    """

    turn: int = 1
    width: int = 0
    height: int = 0
    scale: tuple[float, float] = (1.0, 1.0)

    def apply(self, polygon: np.ndarray) -> np.ndarray:
        """Points `[P, 2]` as float64 `[P, 2]` in the upright image."""
        x, y = ROTATIONS[self.turn](polygon[:, 0], polygon[:, 1], self.width, self.height)
        return np.stack([x, y], 1) * self.scale


def find_frame(
    labelled: LabelledImage, upright: tuple[int, int], orientation: int, wanted: str = "auto"
) -> Frame:
    """How the labels of an image map to its upright pixels.

    Args:
        labelled: the image.
        upright: (height, width) of the image as it is read.
        orientation: EXIF orientation, 1 to 8.
        wanted: "upright", "stored", or "auto" to decide by the stated size.

    Raises:
        ValueError: the labels are for an image of another size.
    """
    height, width = upright
    stored = (width, height) if orientation >= 5 else upright  # 5 to 8 swap the sides
    size = labelled.size
    if wanted == "stored":
        fits, turn = size in (None, stored), orientation
    elif size in (None, upright):
        fits, turn = True, 1
    else:
        fits, turn = size == stored and wanted == "auto", orientation
    if fits:
        return Frame(turn, stored[1], stored[0])
    assert size is not None  # labels without a stated size fit anything
    if labelled.stretches and abs(size[0] * width / (size[1] * height) - 1) < SAME_SHAPE:
        return Frame(scale=(width / size[1], height / size[0]))
    raise ValueError(
        f"its labels are for {size[1]}x{size[0]} pixels, but the image has {width}x{height}"
        + (f" ({stored[1]}x{stored[0]} before its EXIF rotation)" if stored != upright else "")
        + ": use the image that was labelled"
    )


def read_orientation(source: str | os.PathLike[str] | IO[bytes]) -> int:
    """EXIF orientation of a path or an open file, 1 to 8.

    It is 1 if there is none, and for TIFF, which its decoder rotates before anybody sees it.
    """
    try:
        with Image.open(source, formats=tuple(FORMATS)) as image:
            return 1 if image.format == "TIFF" else find_orientation(image)
    except Exception:  # whoever decodes the image reports what is wrong with it
        return 1
