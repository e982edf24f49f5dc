"""The input shape that an image runs at: its own, or a larger one shared by images of many sizes.

Each shape needs a program of its own, and compiling one takes as long as running dozens of images.
In a larger shape an image gets the same map as alone, see `models.area`, but takes longer.
"""

import threading
from typing import NamedTuple

from ppocr_jax.data.resize import MOST_PIXELS

PASS_PIXELS = 1_500_000  # of each image in a full batch; larger images run in smaller batches
SHARED = 256  # sides are rounded up to a multiple of this where many sizes occur
# The rest is for `Few`:
ROUNDED = 2  # sizes that are merely rounded up; the first size of all runs unchanged
SMALL, PHOTO = 1120, 4096  # sides of the smallest and the largest standard square, pixels
STRIP = 6784  # longer side of a standard strip: at a height of 736 nothing is enlarged beyond it
GOOD_WASTE, MOST_WASTE = 2.0, 8.0  # ratio of a shape's area to that of the image in it


class Shape(NamedTuple):
    """An input shape of the network.

    Attributes:
        height, width: pixels, multiples of 32.
        shared: whether images may fill only its upper left part.
    """

    height: int
    width: int
    shared: bool

    @property
    def area(self) -> int:
        """Its number of pixels."""
        return self.height * self.width

    def holds(self, height: int, width: int, waste: float) -> bool:
        """Whether an image fits without too much waste.

        Args:
            height, width: of the image.
            waste: largest ratio of the areas; up to `PASS_PIXELS` any shape is cheap enough.
        """
        fits = self.height >= height and self.width >= width
        return fits and self.area <= min(max(waste * height * width, PASS_PIXELS), MOST_PIXELS)


class Multiples:
    """Rounds sides up to a multiple, unless most of the shape would be empty.

    Args:
        multiple: pixels; 0 leaves sides unchanged.
    """

    def __init__(self, multiple: int) -> None:
        self._multiple = multiple

    def __call__(self, height: int, width: int) -> Shape:
        """The shape for an image whose sides are multiples of 32."""
        if not self._multiple:
            return Shape(height, width, False)
        tall, wide = (-(-side // self._multiple) * self._multiple for side in (height, width))
        rounded = Shape(tall, wide, True)
        return rounded if rounded.holds(height, width, 4) else Shape(height, width, True)


class Few:
    """Chooses at most eight shapes for a stream of photos of any size. Thread-safe.

    The first size runs unchanged: often all photos come from one camera. A later size takes the
    smallest shape in use that fits well. If none does, the first few sizes are rounded up, and
    after them a size takes the smallest shape that fits at all, in use or standard. A photo too
    large for those, of more than 4096 pixels a side, is rounded up too. Each size keeps its shape,
    so the same image always gives the same map.

    Args:
        limit_side, limit_type: see `resize.plan_size`; they decide the standard shapes.
    """

    def __init__(self, limit_side: int, limit_type: str) -> None:
        self._standard = standard_shapes(limit_side, limit_type)
        self._round, self._rounded = Multiples(SHARED), 0
        self._known: dict[tuple[int, int], Shape] = {}
        self._lock = threading.Lock()

    def __call__(self, height: int, width: int) -> Shape:
        """The shape for an image whose sides are multiples of 32."""
        with self._lock:
            if (height, width) not in self._known:
                self._known[height, width] = self._choose(height, width)
            return self._known[height, width]

    def used(self) -> set[Shape]:
        """The shapes chosen so far."""
        with self._lock:
            return set(self._known.values())

    def _choose(self, height: int, width: int) -> Shape:
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


def standard_shapes(limit_side: int, limit_type: str) -> set[Shape]:
    """Squares and strips that hold photos after `resize.plan_size`."""
    if limit_type != "min":  # no side is longer than the limit, so one square holds everything
        sides = {_up(limit_side / 2), _up(limit_side)}
        return {Shape(side, side, True) for side in sides}
    low = max(SMALL, _up(1.5 * limit_side))  # most photos whose shorter side is the limit
    high = max(low, PHOTO)
    sides = {low, _up((low * high) ** 0.5), high}
    strips = {Shape(low, STRIP, True), Shape(STRIP, low, True)}
    return {*(Shape(side, side, True) for side in sides), *strips}


def _up(side: float) -> int:
    """Rounds up to a multiple of 32."""
    return int(-(-side // 32)) * 32
