"""Large pages -> one shrink map each: overlapping windows are run, and their maps are blended.

A page stays at its own resolution, so small text stays readable. Windows lie on a grid; where
they overlap, each pixel is the mean of their maps, weighted by its distance to the window's edge,
because a network knows least where its picture ends. Letters that are large beside a window are
often not recognised in it; so the page is looked at as a whole too, reduced to the size of a
window, and what was only seen there is filled into the map. Boxes are found once, on the whole
map, so none is cut or doubled at a seam.
"""

import concurrent.futures
from typing import NamedTuple

import cv2
import numpy as np

from ppocr_jax.data.polygons import mean_inside
from ppocr_jax.data.resize import MAX_PIXELS, plan_resize, read_image, resize_image
from ppocr_jax.detection.inference import Predicted, Prepared, read_ahead, run_batches
from ppocr_jax.detection.postprocess import find_polygons
from ppocr_jax.errors import UserError

WHOLE = "whole"  # the window that is the whole page
COVERED = 0.25  # of a box in the whole page: with less of it found, it is filled in


class Tiling(NamedTuple):
    """How pages are cut.

    Attributes:
        side: of a window, pixels of the scaled page, a multiple of 32.
        overlap: of neighbours at least, pixels, a multiple of 32 below `side`.
        scale: by which a page is resized first.
    """

    side: int
    overlap: int
    scale: float = 1.0


def make_tiling(side, overlap=None, scale=1.0):
    """A `Tiling` of checked values; the overlap is about a quarter of the side by default.

    Raises:
        UserError: a value that does not fit.
    """
    if side < 64 or side % 32:
        raise UserError(f"--tile {side}: should be a multiple of 32, 64 at least, such as 960")
    overlap = side // 128 * 32 if overlap is None else overlap
    if overlap % 32 or not 0 <= overlap < side:
        raise UserError(f"--overlap {overlap}: should be a multiple of 32 below --tile {side}")
    if not 0 < scale <= 16:
        raise UserError(f"--scale {scale:g}: should be above 0 and at most 16")
    return Tiling(side, overlap, scale)


def plan_page(height, width, scale):
    """The size at which a page is cut: scaled, then rounded to multiples of 32, 32 at least."""
    return tuple(max(32, round(int(side * scale) / 32) * 32) for side in (height, width))


def plan_windows(height, width, tiling):
    """The sizes at which the network sees a page of some size: of windows, and of all of it."""
    page = plan_page(height, width, tiling.scale)
    window = tuple(min(tiling.side, side) for side in page)
    if window == page:
        return window, None
    return window, plan_resize(*page, limit_side=tiling.side, limit_type="max")


def window_starts(length, tiling):
    """First pixels of the windows along one side of a page, multiples of 32, evenly spaced.

    Args:
        length: of the side, a multiple of 32.
    """
    last = length - tiling.side
    if last <= 0:
        return [0]
    count = -(-last // (tiling.side - tiling.overlap)) + 1
    return [last * index // (count - 1) // 32 * 32 for index in range(count)]


def blend_weights(length, starts, side):
    """Weights of the windows along one side of a page.

    A pixel counts by its distance to the nearest edge at which its window meets another one; at
    the border of the page there is nothing to hand over to.

    Returns:
        float32 `[len(starts), side]`; at every pixel of the page those of its windows add up
        to 1. With a grid of windows the products of both sides' weights add up to 1 as well.
    """
    steps = np.arange(side) + 0.5
    total, weights = np.zeros(length), []
    for start in starts:
        before = steps if start > 0 else side
        after = side - steps if start + side < length else side
        weights.append(np.minimum(before, after) * np.ones(side))
        total[start : start + side] += weights[-1]
    shares = [w / total[s : s + side] for w, s in zip(weights, starts, strict=True)]
    return np.array(shares, np.float32)


def allow_candidates(post, shrink_map, tiling):
    """Options of the post-processing for a page: `max_candidates` for each window's area."""
    areas = -(-shrink_map.size // tiling.side**2)
    return {**post, "max_candidates": post["max_candidates"] * areas}


def fill_in(shrink_map, whole_map, post):
    """Takes over what was seen in the reduced page and not in its windows; changes `shrink_map`.

    The boxes of both maps are compared: where the page's windows found less than `COVERED` of a
    box, its inside is set to the map of the reduced page.

    Args:
        shrink_map: float32 `[H, W]`, of the windows.
        whole_map: float32 `[h, w]`, of the reduced page.
        post: options of `postprocess.find_polygons`.
    """
    found = np.zeros(whole_map.shape, np.float32)
    for polygon in find_polygons(shrink_map, whole_map.shape, **post)[0]:
        cv2.fillPoly(found, [polygon], 1.0)
    missed = np.zeros(whole_map.shape, np.uint8)
    for polygon in find_polygons(whole_map, whole_map.shape, **post)[0]:
        if mean_inside(found, polygon) < COVERED:
            cv2.fillPoly(missed, [polygon], 1)
    if missed.any():
        size = shrink_map.shape[::-1]
        inside = cv2.resize(missed, size, interpolation=cv2.INTER_NEAREST) > 0
        shrink_map[inside] = cv2.resize(whole_map, size, interpolation=cv2.INTER_LINEAR)[inside]


class Page:
    """A page that is being predicted: its windows go out, their maps come in.

    Attributes:
        key: what the caller knows it by.
        size: (height, width) of the file's own pixels.
        shrink_map: float32 `[H, W]`, at the size at which the page is cut.
        whole_map: float32 `[h, w]`, of the reduced page; None where one window holds the page.
        missing: windows whose maps are not in yet.
    """

    def __init__(self, prepared, tiling):
        self.key, self._image, self.size, self._path = prepared
        lengths = self._image.shape[:2]
        self._window, self._reduced = plan_windows(*lengths, tiling._replace(scale=1.0))
        self._starts = [window_starts(length, tiling) for length in lengths]
        self._weights = [
            blend_weights(*axis) for axis in zip(lengths, self._starts, self._window, strict=True)
        ]
        self.shrink_map, self.whole_map = np.zeros(lengths, np.float32), None
        self.missing = len(self._starts[0]) * len(self._starts[1]) + (self._reduced is not None)

    def windows(self):
        """`Prepared` per window; its key is `(key of the page, (row, column) or WHOLE)`."""
        for row in range(len(self._starts[0])):
            for column in range(len(self._starts[1])):
                window = self._image[self._inside(row, column)]
                yield Prepared((self.key, (row, column)), window, self.size, self._path)
        if self._reduced:
            whole = resize_image(self._image, *self._reduced)
            yield Prepared((self.key, WHOLE), whole, self.size, self._path)
        self._image = None  # the windows hold what is still needed of it

    def add(self, place, window_map):
        """Takes in the map of one window."""
        self.missing -= 1
        if place == WHOLE:
            self.whole_map = window_map
            return
        weights = np.outer(self._weights[0][place[0]], self._weights[1][place[1]])
        self.shrink_map[self._inside(*place)] += weights * window_map

    def _inside(self, row, column):
        top, left = self._starts[0][row], self._starts[1][column]
        return slice(top, top + self._window[0]), slice(left, left + self._window[1])


def predict_tiled(predict, variables, files, config, tiling, sharding=None, threads=4):
    """Shrink maps of large pages; see `inference.predict_files`.

    A page that fits into one window gets the map that it has without tiles at the same size.

    Args:
        config: a whole config; of `eval`, batch_size and shared_shapes are read, and all of
            `postprocess`, see `fill_in`.
        tiling: see `make_tiling`.

    Yields:
        `Predicted`, one per file. The map is float32 `[H, W]`, at the scaled page's size.
    """
    pages, post = {}, config.postprocess.to_dict()

    def prepare(key, path):
        def scale(image):
            height, width = plan_page(*image.shape[:2], tiling.scale)
            if height * width > MAX_PIXELS:
                raise UserError(f"{path}: {width}x{height} pixels after scaling are too many")
            return Prepared(key, resize_image(image, height, width), image.shape[:2], str(path))

        return read_image(path, scale)

    def all_windows(pool):
        for item in read_ahead(pool, files, prepare, ahead=2):
            if isinstance(item, Predicted):
                yield item._replace(key=(item.key, None))
                continue
            pages[item.key] = Page(item, tiling)
            yield from pages[item.key].windows()

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for item in run_batches(predict, variables, all_windows(pool), config.eval, sharding):
            key, place = item.key
            if item.shrink_map is None:  # no page, or a window without a map: the page has none
                if pages.pop(key, None) or place is None:
                    yield item._replace(key=key)
                continue
            page = pages.get(key)
            if page is None:
                continue
            page.add(place, item.shrink_map)
            if page.missing:
                continue
            if page.whole_map is not None:
                options = allow_candidates(post, page.shrink_map, tiling)
                fill_in(page.shrink_map, page.whole_map, options)
            del pages[key]
            yield Predicted(key, page.shrink_map, page.size)
