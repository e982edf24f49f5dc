"""A labelled image, and what is wrong with a line of a label file."""

import dataclasses

import numpy as np

from ppocr_jax.errors import shown


@dataclasses.dataclass(frozen=True)
class Sample:
    """A labelled image that is not read yet.

    Attributes:
        image_path: of the file.
        polygons: float32 `[P, 2]` each, (x, y) in pixels, P >= 3.
        ignore: bool per polygon, text `*` or `###`.
        source: label file that it comes from.
        line: of that file, from 1; 0 where a file holds one image.
    """

    image_path: str
    polygons: tuple[np.ndarray, ...]
    ignore: tuple[bool, ...]
    source: str
    line: int


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is wrong with a line of a label file.

    Attributes:
        source, line: as those of `Sample`.
        reason: what is wrong.
        harmless: whether it can be read all the same.
        kind: what problems that are alike have in common; "": the reason without its numbers.
    """

    source: str
    line: int
    reason: str
    harmless: bool = False
    kind: str = ""

    def __str__(self):
        return shown(f"{place_of(self)}: {self.reason}")


def place_of(item):
    """Where a `Sample` or a `Problem` stands: `train.txt line 3`, or the file of one picture."""
    return f"{item.source} line {item.line}" if item.line else item.source
