"""Predicts large pages in overlapping windows and blends their maps into one shrink map.

A page keeps its own resolution, so small text stays readable. The windows lie on a grid. Where they
overlap, each pixel is the mean of their maps, weighted by its distance to the window's edge, since
a network knows least about what lies at the edge of its input. Text that is large compared to a
window is often missed, so the network also sees the whole page, reduced to the size of a window;
text found only there is copied into the map. Boxes are found once, on the complete map, so that
none is cut in two or found twice at a seam.
"""

import concurrent.futures
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import jax
import ml_collections
import numpy as np
from jaxtyping import Float

from ppocr_jax.data.polygons import mean_inside
from ppocr_jax.data.resize import MAX_PIXELS, plan_resize, read_image, resize_image
from ppocr_jax.detection.inference import Predict, Predicted, Prepared, read_ahead, run_batches
from ppocr_jax.detection.postprocess import find_polygons
from ppocr_jax.errors import UserError

WHOLE = "whole"  # the place of the window that shows the whole page, reduced
COVERED = 0.25  # a box of the reduced page is copied if windows found less of its area than this


class Tiling(NamedTuple):
    """How pages are cut into windows.

    Attributes:
        side: of a window, in pixels of the scaled page; a multiple of 32.
        overlap: smallest overlap of neighbours, in pixels; a multiple of 32 below `side`.
        scale: factor by which a page is resized first.
    """

    side: int
    overlap: int
    scale: float = 1.0


def make_tiling(side: int, overlap: int | None = None, scale: float = 1.0) -> Tiling:
    """Checks the values of a `Tiling`; the default overlap is about a quarter of the side.

    Raises:
        UserError: a value is out of range.
    """
    if side < 64 or side % 32:
        raise UserError(f"--tile {side}: should be a multiple of 32 of at least 64, such as 960")
    overlap = side // 128 * 32 if overlap is None else overlap
    if overlap % 32 or not 0 <= overlap < side:
        raise UserError(f"--overlap {overlap}: should be a multiple of 32 below --tile {side}")
    if not 0 < scale <= 16:
        raise UserError(f"--scale {scale:g}: should be above 0 and at most 16")
    return Tiling(side, overlap, scale)


def plan_page(height: int, width: int, scale: float) -> tuple[int, int]:
    """The size at which a page is cut: scaled, then rounded to multiples of 32, at least 32."""
    tall, wide = (max(32, round(int(side * scale) / 32) * 32) for side in (height, width))
    return tall, wide


def plan_windows(
    height: int, width: int, tiling: Tiling
) -> tuple[tuple[int, int], tuple[int, int] | None]:
    """The sizes at which the network sees a page.

    Returns:
        (height, width) of the windows, and of the reduced page; None for the latter if one window
        holds the page.
    """
    page = plan_page(height, width, tiling.scale)
    window = (min(tiling.side, page[0]), min(tiling.side, page[1]))
    if window == page:
        return window, None
    return window, plan_resize(*page, limit_side=tiling.side, limit_type="max")


def window_starts(length: int, tiling: Tiling) -> list[int]:
    """The first pixels of the windows along one side of a page, evenly spaced.

    Args:
        length: of the side, a multiple of 32.

    Returns:
        Multiples of 32, so that windows start where the strides of the network do.
    """
    last = length - tiling.side
    if last <= 0:
        return [0]
    count = -(-last // (tiling.side - tiling.overlap)) + 1
    return [last * index // (count - 1) // 32 * 32 for index in range(count)]


def blend_weights(
    length: int, starts: Sequence[int], side: int
) -> Float[np.ndarray, "windows side"]:
    """The blending weights of the windows along one side of a page.

    A pixel's weight is proportional to its distance from the nearest edge that its window shares
    with another window. An edge at the border of the page does not count.

    Args:
        length: of the page's side, pixels.
        starts: see `window_starts`.
        side: of a window, pixels.

    Returns:
        float32. At each pixel of the page the weights of its windows sum to 1, and so do, on the
        grid, the products of the weights of both axes.
    """
    steps = np.arange(side) + 0.5  # distances of pixel centres to the edge
    total: np.ndarray = np.zeros(length)
    weights: list[np.ndarray] = []
    for start in starts:
        before = steps if start > 0 else side
        after = side - steps if start + side < length else side
        weights.append(np.minimum(before, after) * np.ones(side))
        total[start : start + side] += weights[-1]
    shares = [w / total[s : s + side] for w, s in zip(weights, starts, strict=True)]
    return np.array(shares, np.float32)


def allow_candidates(
    post: Mapping[str, Any], shrink_map: Float[np.ndarray, "H W"], tiling: Tiling
) -> dict[str, Any]:
    """Options of `find_polygons` for a page: `max_candidates` is multiplied by its windows."""
    areas = -(-shrink_map.size // tiling.side**2)
    return {**post, "max_candidates": post["max_candidates"] * areas}


def fill_in(
    shrink_map: Float[np.ndarray, "H W"],
    whole_map: Float[np.ndarray, "h w"],
    post: Mapping[str, Any],
) -> None:
    """Copies text that only the reduced page shows into `shrink_map`, in place.

    For each box of the reduced page of which the windows found less than `COVERED`, its inside is
    overwritten with the map of the reduced page.

    Args:
        shrink_map: float32, blended from the windows.
        whole_map: float32, of the reduced page.
        post: options of `postprocess.find_polygons`.
    """
    # Compared at the size of the reduced page, which is cheaper.
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
    """A page in progress: it gives out windows and collects their maps.

    Attributes:
        key: identifies the page to the caller.
        size: (height, width) of the image in the file.
        shrink_map: float32, at the size at which the page is cut; complete when `missing` is 0.
        whole_map: float32, of the reduced page; None if one window holds the page.
        missing: number of windows whose maps have not arrived.
    """

    def __init__(self, prepared: Prepared, tiling: Tiling) -> None:
        self.key, image, self.size, self._path = prepared
        self._image: np.ndarray | None = image
        lengths = image.shape[:2]
        self._window, self._reduced = plan_windows(
            lengths[0], lengths[1], tiling._replace(scale=1.0)
        )
        self._starts = [window_starts(length, tiling) for length in lengths]
        self._weights = [
            blend_weights(*axis) for axis in zip(lengths, self._starts, self._window, strict=True)
        ]
        self.shrink_map: Float[np.ndarray, "H W"] = np.zeros(lengths, np.float32)
        self.whole_map: Float[np.ndarray, "h w"] | None = None
        self.missing = len(self._starts[0]) * len(self._starts[1]) + (self._reduced is not None)

    def windows(self) -> Iterator[Prepared]:
        """Yields the windows, once; their key is `(key of the page, (row, column) or WHOLE)`."""
        assert self._image is not None
        for row in range(len(self._starts[0])):
            for column in range(len(self._starts[1])):
                window = self._image[self._inside(row, column)]
                yield Prepared((self.key, (row, column)), window, self.size, self._path)
        if self._reduced:
            whole = resize_image(self._image, *self._reduced)
            yield Prepared((self.key, WHOLE), whole, self.size, self._path)
        self._image = None  # the windows hold what is still needed of it

    def add(self, place: tuple[int, int] | str, window_map: Float[np.ndarray, "h w"]) -> None:
        """Adds the map of one window.

        Args:
            place: (row, column) of the window in the grid, or WHOLE.
            window_map: float32.
        """
        self.missing -= 1
        if isinstance(place, str):
            self.whole_map = window_map
            return
        weights = np.outer(self._weights[0][place[0]], self._weights[1][place[1]])
        self.shrink_map[self._inside(*place)] += weights * window_map

    def _inside(self, row: int, column: int) -> tuple[slice, slice]:
        """The pixels of the page that a window covers."""
        top, left = self._starts[0][row], self._starts[1][column]
        return slice(top, top + self._window[0]), slice(left, left + self._window[1])


def predict_tiled(
    predict: Predict,
    variables: Any,
    files: Iterable[tuple[Any, str]],
    config: ml_collections.ConfigDict,
    tiling: Tiling,
    sharding: jax.sharding.Sharding | None = None,
    threads: int = 4,
) -> Iterator[Predicted]:
    """Predicts the shrink maps of large pages; compare `inference.predict_files`.

    A page that fits into one window gets the same map as without tiles at that size.

    Args:
        config: a whole config; reads `eval.batch_size`, `eval.shared_shapes` and all of
            `postprocess`, see `fill_in`.
        tiling: see `make_tiling`.

    Yields:
        One `Predicted` per file. The map has the size of the scaled page.
    """
    pages: dict[Any, Page] = {}
    post = config.postprocess.to_dict()

    def prepare(key: Any, path: str) -> Prepared:
        def scale(image: np.ndarray) -> Prepared:
            height, width = plan_page(image.shape[0], image.shape[1], tiling.scale)
            if height * width > MAX_PIXELS:
                raise UserError(
                    f"{path}: {width}x{height} pixels after scaling are too many; lower --scale"
                )
            return Prepared(key, resize_image(image, height, width), image.shape[:2], str(path))

        return read_image(path, scale)

    def all_windows(
        pool: concurrent.futures.Executor,
    ) -> Iterator[Prepared | Predicted]:
        # Two pages ahead, not 16: pages are large, and each becomes many windows.
        for item in read_ahead(pool, files, prepare, ahead=2):
            if isinstance(item, Predicted):
                yield item._replace(key=(item.key, None))
                continue
            pages[item.key] = Page(item, tiling)
            yield from pages[item.key].windows()

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for item in run_batches(predict, variables, all_windows(pool), config.eval, sharding):
            key, place = item.key
            # A page that could not be read, or the first of its windows to fail.
            if item.shrink_map is None:
                if pages.pop(key, None) or place is None:
                    yield item._replace(key=key)
                continue
            page = pages.get(key)
            if page is None:  # another of its windows has failed
                continue
            page.add(place, item.shrink_map)
            if page.missing:
                continue
            if page.whole_map is not None:
                options = allow_candidates(post, page.shrink_map, tiling)
                fill_in(page.shrink_map, page.whole_map, options)
            del pages[key]
            yield Predicted(key, page.shrink_map, page.size)
