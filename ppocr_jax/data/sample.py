"""A labelled image, and a problem with a line of a label file."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from ppocr_jax.errors import shown

if TYPE_CHECKING:
    from jaxtyping import Float32


@dataclasses.dataclass(frozen=True)
class Sample:
    """A labelled image; its pixels are not read yet.

    Attributes:
        image_path: the image file.
        polygons: float32 `[P, 2]` each, (x, y) in pixels, P >= 3.
        ignore: bool per polygon: its text is `*` or `###`.
        source: the label file it comes from.
        line: line in that file, from 1; 0 if the file labels a single image.
    """

    image_path: str
    polygons: tuple[Float32[np.ndarray, "_ 2"], ...]
    ignore: tuple[bool, ...]
    source: str
    line: int


@dataclasses.dataclass(frozen=True)
class Problem:
    """A problem with a line of a label file.

    Attributes:
        source, line: as in `Sample`.
        reason: what is wrong.
        harmless: whether the line can be used all the same.
        kind: the same text for all problems of a kind, to group them by; "" to use the reason
            without its numbers.
    """

    source: str
    line: int
    reason: str
    harmless: bool = False
    kind: str = ""

    def __str__(self) -> str:
        return shown(f"{place_of(self)}: {self.reason}")


def place_of(item: Sample | Problem) -> str:
    """Where a `Sample` or a `Problem` comes from: `train.txt line 3`, or the file of one image."""
    return f"{item.source} line {item.line}" if item.line else item.source
