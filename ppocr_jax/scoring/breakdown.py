"""Where a detector misses: recall by what the labelled text looks like, precision by score."""

from typing import NamedTuple

import numpy as np

from ppocr_jax.data.polygons import NEARLY_SQUARE, box_around, measure

HEIGHTS = (8, 12, 16, 24, 32, 48, 64)  # pixels
ASPECTS = (NEARLY_SQUARE, 3, 5, 8, 12)  # longer side / shorter side
ANGLES = (5, 15, 30, 60)  # degrees between the longer side and the horizontal
SCORES = (0.5, 0.6, 0.7, 0.8, 0.9)


class Bin(NamedTuple):
    """Labels, or found boxes, of one range of a property.

    Attributes:
        name: the range, in words.
        total: how many there are.
        matched: how many of them are matched.
    """

    name: str
    total: int
    matched: int

    @property
    def share(self):
        """Recall of labels, precision of found boxes; 0 without any."""
        return self.matched / self.total if self.total else 0.0


class Words(NamedTuple):
    """The labels that count, one entry each.

    Attributes:
        height: pixels of the image, of the shorter side of the smallest rotated rectangle.
        network_height: the same at the network's size; NaN where the image could not be read.
        aspect: longer side / shorter side, in the image.
        angle: degrees between the longer side and the horizontal, 0 to 90; NaN where the aspect
            is below `ASPECTS[0]`, so that neither side is the longer one for sure.
        matched: whether it was found.
    """

    height: np.ndarray
    network_height: np.ndarray
    aspect: np.ndarray
    angle: np.ndarray
    matched: np.ndarray


def measure_words(outcomes):
    """`Words` of the labels of `scoring.evaluation.Outcome`s that are matched or missed."""
    rows = []
    for outcome in outcomes:
        for polygon, status in zip(outcome.sample.polygons, outcome.matches.truth, strict=True):
            if status in ("matched", "missed"):
                rows.append((*_measure(polygon, outcome), status == "matched"))
    columns = np.array(rows, np.float64).reshape(-1, len(Words._fields)).T
    return Words(*columns[:-1], columns[-1] > 0)


def _measure(polygon, outcome):
    height, _, aspect, angle = measure(polygon)
    network_height = np.nan
    if not outcome.reason:
        scale = np.array(outcome.network_size[::-1]) / np.array(outcome.size[::-1])
        network_height = box_around((polygon * scale).astype(np.float32))[1]
    return height, network_height, aspect, angle


def recall_tables(outcomes):
    """`{title: [Bin, ...]}` of recall by height, aspect ratio and orientation."""
    words = measure_words(outcomes)

    def table(values, edges, unit="", unknown=""):
        return divide(values, words.matched, edges, unit, unknown)

    return {
        "Text height in the image": table(words.height, HEIGHTS, " px"),
        "Text height at the network's size": table(
            words.network_height, HEIGHTS, " px", "image not read"
        ),
        "Aspect ratio (length / height)": table(words.aspect, ASPECTS),
        "Orientation (longer side against the horizontal)": table(
            words.angle, ANGLES, "°", f"nearly square (ratio below {ASPECTS[0]:g})"
        ),
    }


def precision_by_score(outcomes):
    """Bins of the found boxes that count, by their score: how many of them are words."""
    pairs = [
        (score, status == "matched")
        for outcome in outcomes
        for score, status in zip(outcome.scores, outcome.matches.found, strict=True)
        if status in ("matched", "false")
    ]
    scores, matched = np.array(pairs, np.float64).reshape(-1, 2).T
    return divide(scores, matched > 0, SCORES)


def divide(values, matched, edges, unit="", unknown=""):
    """Bins between edges, the lower one inclusive, with open ends; empty ones at the ends go.

    Args:
        values: float `[N]`.
        matched: bool `[N]`.
        edges: ascending.
        unit: of the values, for the names.
        unknown: name of a last bin for values that are NaN, left out when there are none.
    """
    names = [f"below {edges[0]:g}{unit}"]
    names += [f"{low:g} to {high:g}{unit}" for low, high in zip(edges, edges[1:], strict=False)]
    names += [f"{edges[-1]:g}{unit} and more"]
    place = np.where(np.isnan(values), len(names), np.digitize(values, edges))
    totals = np.bincount(place, minlength=len(names) + 1).tolist()
    hits = np.bincount(place[matched], minlength=len(names) + 1).tolist()
    used = np.flatnonzero(totals[: len(names)])
    first, last = (used[0], used[-1]) if used.size else (0, -1)
    bins = [Bin(*row) for row in zip(names, totals, hits, strict=False)][first : last + 1]
    return bins + ([Bin(unknown, totals[-1], hits[-1])] if totals[-1] else [])


def align(tables):
    """Bins of several tables side by side: `[(range, [Bin or None of each table])]`."""
    names = list(dict.fromkeys(bin.name for table in tables for bin in table))
    by_name = [{bin.name: bin for bin in table} for table in tables]
    return [(name, [bins.get(name) for bins in by_name]) for name in names]
