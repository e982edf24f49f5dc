"""Which thresholds of the post-processing are best: hmean over a grid of them, in one pass.

Every map is read for the whole grid while it passes by, and only sums are kept. Regions and their
scores depend on `thresh` alone, their growth on `unclip_ratio` as well, and `box_thresh` only
chooses among them; so a point costs little more than its matching.
"""

import math
import threading

import numpy as np

from ppocr_jax import devices
from ppocr_jax.detection.postprocess import find_regions, grow, to_source
from ppocr_jax.errors import UserError
from ppocr_jax.scoring.metrics import Counts, Overlaps, summarise

AXES = {
    "thresh": (0.2, 0.25, 0.3, 0.35, 0.4),
    "box_thresh": (0.4, 0.5, 0.6, 0.7, 0.8),
    "unclip_ratio": (1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0),
}
LIMITS = {"thresh": (0.0, 1.0), "box_thresh": (0.0, 1.0), "unclip_ratio": (0.0, 10.0)}


def make_grid(post, given=()):
    """The values of each axis, ascending; those of the config are always among them.

    Args:
        post: `config.postprocess`.
        given: texts such as "thresh=0.2,0.3", which replace the values of `AXES`.

    Returns:
        `{"thresh": (...), "box_thresh": (...), "unclip_ratio": (...)}` of floats.

    Raises:
        UserError: another name, or values that are no numbers or out of range.
    """
    axes = dict(AXES)
    for text in given:
        name, _, values = text.partition("=")
        if name not in AXES:
            raise UserError(f"--grid {text}: take NAME=VALUE,VALUE with NAME of {', '.join(AXES)}")
        try:
            axes[name] = [float(value) for value in values.split(",")]
        except ValueError:
            raise UserError(f"--grid {text}: numbers with commas between them are needed") from None
        low, high = LIMITS[name]
        if not all(low < value <= high for value in axes[name]):
            raise UserError(f"--grid {text}: values should be above {low:g}, at most {high:g}")
    return {name: tuple(sorted({float(post[name]), *values})) for name, values in axes.items()}


def grid_polygons(shrink_map, size, grid, post):
    """What `find_polygons` finds at every point of a grid, with the work that points share shared.

    Args:
        shrink_map, size: see `find_polygons`.
        grid: see `make_grid`.
        post: the other arguments of `find_polygons`.

    Yields:
        `(i, k, polygons, keep)` per `thresh` i and `unclip_ratio` k: the polygons, and a bool
        list per `box_thresh` that says which of them are found there.
    """
    fixed = {name: value for name, value in post.items() if name not in AXES}
    lowest = grid["box_thresh"][0]
    for i, thresh in enumerate(grid["thresh"]):
        regions = [r for r in find_regions(shrink_map, thresh, **fixed) if not r[1] < lowest]
        for k, ratio in enumerate(grid["unclip_ratio"]):
            grown = [(grow(points, ratio, post["box_type"]), score) for points, score in regions]
            grown = [(points, score) for points, score in grown if points is not None]
            polygons = [to_source(points, shrink_map.shape, size) for points, _ in grown]
            keep = [[not score < t for _, score in grown] for t in grid["box_thresh"]]
            yield i, k, polygons, keep


class Sweep:
    """Sums over images of what every point of a grid finds; `add` may be called from threads."""

    def __init__(self, post, given=()):
        """See `make_grid`."""
        self.grid, self._post = make_grid(post, given), post.to_dict()
        self._own = tuple(self.grid[name].index(float(post[name])) for name in AXES)
        shape = [len(values) for values in self.grid.values()]
        # Images of even and odd index apart: what is chosen on one half is measured on the other.
        self._sums = np.zeros((2, *shape, len(Counts._fields)), np.int32)
        self._lock = threading.Lock()

    def add(self, index, sample, item):
        """Counts an image.

        Args:
            index: of the image in the whole split.
            sample: `data.labels.Sample`.
            item: `inference.Predicted`; without a map its words count as missed everywhere.
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

    def result(self):
        """What the grid says, over all processes; builtin numbers, ready for JSON.

        Returns:
            dict: `grid`; `own` and `best`, points of the config and of the highest hmean (the
            nearest to the config's own among equals); `gain`, by which hmean rises; `held_out`,
            the two gains that the best point of one half of the images has on the other half;
            `overrides`, options that set the best point; `edges`, names of axes where it is the
            first or last value; `points`, all of them.
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
    def shape(self):
        """Number of values per axis, in the order of `AXES`."""
        return self._sums.shape[1:-1]

    def _point(self, sums, index):
        values = {name: self.grid[name][i] for name, i in zip(AXES, index, strict=True)}
        return {**values, **summarise([Counts(*sums[index].tolist())])}

    def _best(self, sums):
        """Index of the highest hmean; among equals, the fewest steps from the config's own."""
        order = {
            index: (self._point(sums, index)["hmean"], -math.dist(index, self._own))
            for index in np.ndindex(self.shape)
        }
        return max(order, key=order.get)


def explain(swept):
    """Lines for people on the result of a sweep."""
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


def values_of(point):
    """A point in words: thresh 0.3, box_thresh 0.6, unclip_ratio 1.5."""
    return ", ".join(f"{name} {point[name]:g}" for name in AXES)
