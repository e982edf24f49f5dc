"""Threshold sweep: hmean over a grid of post-processing thresholds, in one pass over the images.

Each map is post-processed for the whole grid when it arrives, and only sums are kept. Regions and
their scores depend on `thresh` alone, their growth on `unclip_ratio` too, and `box_thresh` only
selects among them. That work is shared, so a grid point costs little more than its matching.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from ml_collections import ConfigDict

from ppocr_jax import devices
from ppocr_jax.data.sample import Sample
from ppocr_jax.detection.inference import Predicted
from ppocr_jax.detection.postprocess import find_regions, grow, to_source
from ppocr_jax.errors import UserError
from ppocr_jax.scoring.metrics import Counts, Overlaps, summarise

# Around the defaults 0.3, 0.6 and 1.5; unclip ratios up to PaddleOCR's other default, 2.0.
AXES = {
    "thresh": (0.2, 0.25, 0.3, 0.35, 0.4),
    "box_thresh": (0.4, 0.5, 0.6, 0.7, 0.8),
    "unclip_ratio": (1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0),
}
LIMITS = {"thresh": (0.0, 1.0), "box_thresh": (0.0, 1.0), "unclip_ratio": (0.0, 10.0)}


def make_grid(
    post: Mapping[str, Any] | ConfigDict, given: Sequence[str] = ()
) -> dict[str, tuple[float, ...]]:
    """The values on each axis of the grid, ascending, always with those of the config.

    Args:
        post: `config.postprocess`.
        given: options such as "thresh=0.2,0.3", which replace the values in `AXES`.

    Returns:
        `{"thresh": (...), "box_thresh": (...), "unclip_ratio": (...)}`.

    Raises:
        UserError: an unknown name, or values that are not numbers or out of range.
    """
    axes: dict[str, Sequence[float]] = dict(AXES)
    for text in given:
        name, _, values = text.partition("=")
        if name not in AXES:
            raise UserError(
                f"--grid {text}: should be NAME=VALUE,VALUE with NAME one of {', '.join(AXES)}"
            )
        try:
            axes[name] = [float(value) for value in values.split(",")]
        except ValueError:
            raise UserError(
                f"--grid {text}: values should be numbers with commas between"
            ) from None
        low, high = LIMITS[name]
        if not all(low < value <= high for value in axes[name]):
            raise UserError(f"--grid {text}: values should be above {low:g}, at most {high:g}")
    return {name: tuple(sorted({float(post[name]), *values})) for name, values in axes.items()}


def grid_polygons(
    shrink_map: Float[np.ndarray, "H W"],
    size: tuple[int, int],
    grid: Mapping[str, Sequence[float]],
    post: Mapping[str, Any],
) -> Iterator[tuple[int, int, list[Int[np.ndarray, "_P 2"]], list[list[bool]]]]:
    """The detections of `find_polygons` at every grid point; shared work is done once.

    Args:
        shrink_map: values in [0, 1].
        size: (height, width) of the image file, which the polygons are scaled to.
        grid: see `make_grid`.
        post: the keyword arguments of `find_polygons`; those on an axis are not read.

    Yields:
        `(i, k, polygons, keep)` for `thresh` number i and `unclip_ratio` number k. `keep` has one
        list of bools per `box_thresh`: which of the polygons are detections there.
    """
    fixed = {name: value for name, value in post.items() if name not in AXES}
    lowest = grid["box_thresh"][0]
    # `not score < limit`, as in find_polygons, so that a NaN score is treated alike.
    for i, thresh in enumerate(grid["thresh"]):
        regions = [r for r in find_regions(shrink_map, thresh, **fixed) if not r[1] < lowest]
        for k, ratio in enumerate(grid["unclip_ratio"]):
            sized = [(grow(points, ratio, post["box_type"]), score) for points, score in regions]
            grown = [(points, score) for points, score in sized if points is not None]
            polygons = [to_source(points, shrink_map.shape, size) for points, _ in grown]
            keep = [[not score < t for _, score in grown] for t in grid["box_thresh"]]
            yield i, k, polygons, keep


class Sweep:
    """Counts of every grid point, summed over images. `add` may be called from several threads.

    Args:
        post: `config.postprocess`.
        given: see `make_grid`.

    Attributes:
        grid: the values on each axis.
    """

    def __init__(self, post: ConfigDict, given: Sequence[str] = ()) -> None:
        self.grid, self._post = make_grid(post, given), post.to_dict()
        self._own = tuple(self.grid[name].index(float(post[name])) for name in AXES)
        shape = [len(values) for values in self.grid.values()]
        # Images with even and odd index are summed apart: thresholds chosen on one half can then
        # be measured on the other. The best of 200 points looks better than it is on the images
        # that it was chosen by.
        self._sums = np.zeros((2, *shape, len(Counts._fields)), np.int32)
        self._lock = threading.Lock()

    def add(self, index: int, sample: Sample, item: Predicted) -> None:
        """Adds the counts of one image.

        Args:
            index: of the image in the whole split.
            sample: the labelled image.
            item: its map. Without a map, its words count as missed at every point.
        """
        counts = np.zeros(self._sums.shape[1:], np.int32)
        if item.shrink_map is None:
            counts[:] = Overlaps(sample.polygons, sample.ignore, []).counts()
        else:
            found = grid_polygons(item.shrink_map, item.size, self.grid, self._post)
            for i, k, polygons, keep in found:
                overlaps = Overlaps(sample.polygons, sample.ignore, polygons)
                counts[i, :, k] = [overlaps.counts(kept) for kept in keep]
        with self._lock:
            self._sums[index % 2] += counts

    def result(self) -> dict[str, Any]:
        """The outcome of the sweep over all processes, in built-in types, ready for JSON.

        Returns:
            dict with `grid`; `own`, the point of the config; `best`, the point with the highest
            hmean (the nearest to the config's among equals); `gain`, by which hmean rises from one
            to the other; `held_out`, the two gains when the best point of one half of the images
            is measured on the other half; `overrides`, the options that set the best point;
            `edges`, the axes on which the best point is the first or last value; `points`, all
            grid points.
        """
        halves = devices.gather(self._sums).sum(0)
        own, best = self._own, self._best(halves.sum(0))
        points = {index: self._point(halves.sum(0), index) for index in np.ndindex(self.shape)}
        held_out = []
        for one, other in (halves, halves[::-1]):
            chosen = self._point(other, self._best(one))
            held_out.append(chosen["hmean"] - self._point(other, own)["hmean"])
        return {
            "grid": {name: list(values) for name, values in self.grid.items()},
            "own": points[own],
            "best": points[best],
            "gain": points[best]["hmean"] - points[own]["hmean"],
            "held_out": held_out,
            "overrides": " ".join(
                f"--config.postprocess.{name}={points[best][name]!r}" for name in AXES
            ),
            "edges": [
                name
                for name, index, values in zip(AXES, best, self.grid.values(), strict=True)
                if len(values) > 1 and index in (0, len(values) - 1)
            ],
            "points": list(points.values()),
        }

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values on each axis, in the order of `AXES`."""
        return self._sums.shape[1:-1]

    def _point(self, sums: Int[np.ndarray, "T B U C"], index: tuple[int, ...]) -> dict[str, float]:
        """Thresholds and metrics of one grid point."""
        values = {name: self.grid[name][i] for name, i in zip(AXES, index, strict=True)}
        return {**values, **summarise([Counts(*sums[index].tolist())])}

    def _best(self, sums: Int[np.ndarray, "T B U C"]) -> tuple[int, ...]:
        """Index of the highest hmean; among equals, the fewest steps from the config's own."""
        order = {
            index: (self._point(sums, index)["hmean"], -math.dist(index, self._own))
            for index in np.ndindex(self.shape)
        }
        return max(order, key=order.__getitem__)


def explain(swept: Mapping[str, Any]) -> Iterator[str]:
    """The result of a sweep in a few lines for the terminal."""
    own, best = swept["own"], swept["best"]
    mean = sum(swept["held_out"]) / 2
    yield (
        f"sweep of {len(swept['points'])} points: hmean {best['hmean']:.4f} at {values_of(best)}; "
        f"the config's {values_of(own)} have {own['hmean']:.4f}; gain {swept['gain']:+.4f}"
    )
    chance = "" if mean > 0 or not swept["gain"] else ", so the gain may be chance"
    yield (
        f"chosen on one half of the images and measured on the other: {mean:+.4f} (mean of "
        f"{swept['held_out'][0]:+.4f} and {swept['held_out'][1]:+.4f}){chance}"
    )
    if swept["edges"]:
        yield f"the best is at the edge of the grid in {', '.join(swept['edges'])}: widen --grid"
    if round(swept["gain"], 4) > 0:
        yield f"to use the best: {swept['overrides']}"
    else:
        yield "the config's own values are as good as any of the grid: keep them"


def values_of(point: Mapping[str, float]) -> str:
    """The thresholds of a point in words: thresh 0.3, box_thresh 0.6, unclip_ratio 1.5."""
    return ", ".join(f"{name} {point[name]:g}" for name in AXES)
