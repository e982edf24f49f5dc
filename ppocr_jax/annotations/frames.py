"""Which way up labels are meant: as the tool showed the picture, or as its pixels are stored.

Cameras store a picture as the sensor lies and say in EXIF how it is turned. Tools of today show it
upright and write labels for that; older ones do not look at EXIF. Where a label file states the
size of the picture, and the turn swaps the sides, the size tells; else upright is assumed.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image

from ppocr_jax.data.image_files import FORMATS, find_orientation

SAME_SHAPE = 0.01  # by which the ratio of sides may differ where labels stretch

# EXIF's orientation -> (points [P, 2] of the stored picture, its width, its height) -> upright.
TURNS = {
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
    """How labels lie in the upright picture: turned by `turn` from the stored one of `(width,
    height)`, then scaled by `scale` (x, y)."""

    turn: int = 1
    width: int = 0
    height: int = 0
    scale: tuple[float, float] = (1.0, 1.0)

    def apply(self, polygon):
        """Points, float64 `[P, 2]`, in the upright picture."""
        x, y = TURNS[self.turn](polygon[:, 0], polygon[:, 1], self.width, self.height)
        return np.stack([x, y], 1) * self.scale


def find_frame(labelled, upright, orientation, wanted="auto"):
    """How the labels of a picture lie in it.

    Args:
        labelled: `Labelled`.
        upright: (height, width) of the picture as it is read.
        orientation: EXIF's, 1 to 8.
        wanted: "upright", "stored", or "auto": by the stated size.

    Raises:
        ValueError: the labels are meant for a picture of another size.
    """
    height, width = upright
    stored = (width, height) if orientation >= 5 else upright
    size = labelled.size
    if wanted == "stored":
        fits, turn = size in (None, stored), orientation
    elif size in (None, upright):
        fits, turn = True, 1
    else:
        fits, turn = size == stored and wanted == "auto", orientation
    if fits:
        return Frame(turn, stored[1], stored[0])
    if labelled.stretches and abs(size[0] * width / (size[1] * height) - 1) < SAME_SHAPE:
        return Frame(scale=(width / size[1], height / size[0]))
    raise ValueError(
        f"its labels are for {size[1]}x{size[0]} pixels, the picture has {width}x{height}"
        + (f" ({stored[1]}x{stored[0]} before its EXIF turn)" if stored != upright else "")
        + ": take the picture that was labelled"
    )


def read_orientation(source):
    """EXIF's orientation of a path or an open file, 1 where there is none, or its reader turns it
    before anybody sees it, as with TIFF."""
    try:
        with Image.open(source, formats=FORMATS) as image:
            return 1 if image.format == "TIFF" else find_orientation(image)
    except Exception:  # whoever reads the whole file says what is wrong with it
        return 1
