"""The shape that an image runs at: its own, or a larger one that images of many sizes share.

Every shape is a program of its own, whose compilation takes as long as some dozens of images. In a
larger shape an image gets the map that it has alone, see `models.area`, in more time.
"""

import threading
from typing import NamedTuple

from ppocr_jax.data.resize import MOST_PIXELS

PASS_PIXELS = 1_500_000  # for each image of a batch; larger ones go in smaller batches
SHARED = 256  # the multiple that sides are rounded up to where many sizes occur
# Of a `Few`:
ROUNDED = 2  # sizes that are only rounded, after the first one, which runs as it is
SMALL, PHOTO = 1120, 4096  # pixels: sides of the least and the largest standard square
STRIP = 6784  # the longer side of a standard strip: 736 pixels high, more is not enlarged
GOOD_WASTE, MOST_WASTE = 2.0, 8.0  # area of a shape to that of the image in it


class Shape(NamedTuple):
    """Height and width, and whether an image may fill only the upper left part of it."""

    height: int
    width: int
    shared: bool

    @property
    def area(self):
        return self.height * self.width

    def holds(self, height, width, waste):
        """Whether an image fits in, and how empty the shape may be then; small ones may always."""
        fits = self.height >= height and self.width >= width
        return fits and self.area <= min(max(waste * height * width, PASS_PIXELS), MOST_PIXELS)


class Multiples:
    """Sides rounded up to a multiple, unless most of the shape would be empty; 0: as they are."""

    def __init__(self, multiple):
        self._multiple = multiple

    def __call__(self, height, width):
        """`Shape` for an image whose sides are multiples of 32."""
        if not self._multiple:
            return Shape(height, width, False)
        rounded = Shape(*(-(-side // self._multiple) * self._multiple for side in (height, width)),
                        True)  # fmt: skip
        return rounded if rounded.holds(height, width, 4) else Shape(height, width, True)


class Few:
    """At most eight shapes for photos of any sizes that come one after the other.

    The first size runs as it is: a camera's, for example. Later ones take a shape that is there
    and fits well; the first of those that find none are rounded, the others take the smallest of
    some standard shapes. What none of these holds, a photo of more than 4096 pixels a side, is
    rounded as well. A size keeps its shape, so the same image gives the same map again. Safe in
    threads.
    """

    def __init__(self, limit_side, limit_type):
        """Standard shapes for what `resize.plan_size` gives with these two."""
        self._standard = standard_shapes(limit_side, limit_type)
        self._round, self._rounded = Multiples(SHARED), 0
        self._known, self._lock = {}, threading.Lock()

    def __call__(self, height, width):
        """`Shape` for an image whose sides are multiples of 32."""
        with self._lock:
            if (height, width) not in self._known:
                self._known[height, width] = self._choose(height, width)
            return self._known[height, width]

    def used(self):
        """The shapes that images have had so far."""
        with self._lock:
            return set(self._known.values())

    def _choose(self, height, width):
        if not self._known:
            return Shape(height, width, False)
        used = {shape for shape in self._known.values() if shape.shared}
        good = [shape for shape in used if shape.holds(height, width, GOOD_WASTE)]
        if good:
            return min(good, key=lambda shape: (shape.area, shape))
        fit = [s for s in {*used, *self._standard} if s.holds(height, width, MOST_WASTE)]
        if fit and self._rounded >= ROUNDED:
            return min(fit, key=lambda shape: (shape.area, shape))
        self._rounded += 1
        return self._round(height, width)


def standard_shapes(limit_side, limit_type):
    """Shapes that hold photos at the sizes of `resize.plan_size`: squares and strips."""
    if limit_type != "min":  # no side is longer than the limit
        sides = {_up(limit_side / 2), _up(limit_side)}
        return {Shape(side, side, True) for side in sides}
    low = max(SMALL, _up(1.5 * limit_side))  # most photos whose shorter side is the limit
    high = max(low, PHOTO)
    sides = {low, _up((low * high) ** 0.5), high}
    strips = {Shape(low, STRIP, True), Shape(STRIP, low, True)}
    return {*(Shape(side, side, True) for side in sides), *strips}


def _up(side):
    return int(-(-side // 32)) * 32
