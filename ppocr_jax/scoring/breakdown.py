"""Recall by properties of the labelled words, and precision by score: where a detector fails."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ppocr_jax.data.polygons import NEARLY_SQUARE, box_around, measure
from ppocr_jax.scoring.evaluation import Outcome
from ppocr_jax.scoring.metrics import Polygon

HEIGHTS = (8, 12, 16, 24, 32, 48, 64)  # pixels
ASPECTS = (NEARLY_SQUARE, 3, 5, 8, 12)  # longer side / shorter side
ANGLES = (5, 15, 30, 60)  # degrees between the longer side and the horizontal
SCORES = (0.5, 0.6, 0.7, 0.8, 0.9)


class Bin(NamedTuple):
    """Labels or detections with a property in one range.

    Attributes:
        name: the range, in words.
        total: how many there are.
        matched: how many of them are matched.
    """

    name: str
    total: int
    matched: int

    @property
    def share(self) -> float:
        """Recall of labels or precision of detections; 0 for an empty bin."""
        return self.matched / self.total if self.total else 0.0


class Words(NamedTuple):
    """Properties of the labels that count, `[N]` each.

    Attributes:
        height: of the shorter side of the smallest rotated rectangle, pixels of the image.
        network_height: the same at the network's size; NaN where the image could not be read.
        aspect: longer side / shorter side, in the image.
        angle: degrees between the longer side and the horizontal, 0 to 90; NaN where the aspect
            is below `ASPECTS[0]`, since the direction of a nearly square word is not defined.
        matched: whether it was found.
    """

    height: Float[np.ndarray, " N"]
    network_height: Float[np.ndarray, " N"]
    aspect: Float[np.ndarray, " N"]
    angle: Float[np.ndarray, " N"]
    matched: Bool[np.ndarray, " N"]


def measure_words(outcomes: Iterable[Outcome]) -> Words:
    """Properties of all labels that are matched or missed; ignored ones are left out."""
    rows = []
    for outcome in outcomes:
        for polygon, status in zip(outcome.sample.polygons, outcome.matches.truth, strict=True):
            if status in ("matched", "missed"):
                rows.append((*_measure(polygon, outcome), status == "matched"))
    height, network_height, aspect, angle, matched = (
        np.array(rows, np.float64).reshape(-1, len(Words._fields)).T
    )
    return Words(height, network_height, aspect, angle, matched > 0)


def _measure(polygon: Polygon, outcome: Outcome) -> tuple[float, float, float, float]:
    """Height, height at the network's size, aspect ratio and angle of one label."""
    height, _, aspect, angle = measure(polygon)
    network_height = np.nan
    if not outcome.reason:
        # Measured again after scaling: x and y are rounded to multiples of 32 apart, so that the
        # factor of a rotated word depends on its direction.
        scale = np.array(outcome.network_size[::-1]) / np.array(outcome.size[::-1])
        network_height = box_around((polygon * scale).astype(np.float32))[1]
    return height, network_height, aspect, angle


def recall_tables(outcomes: Iterable[Outcome]) -> dict[str, list[Bin]]:
    """Recall by height, aspect ratio and orientation: `{title: bins}`."""
    words = measure_words(outcomes)

    def table(
        values: Float[np.ndarray, " N"], edges: Sequence[float], unit: str = "", unknown: str = ""
    ) -> list[Bin]:
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


def precision_by_score(outcomes: Iterable[Outcome]) -> list[Bin]:
    """Precision of the detections that count, by their score."""
    pairs = [
        (score, status == "matched")
        for outcome in outcomes
        for score, status in zip(outcome.scores, outcome.matches.found, strict=True)
        if status in ("matched", "false")
    ]
    scores, matched = np.array(pairs, np.float64).reshape(-1, 2).T
    return divide(scores, matched > 0, SCORES)


def divide(
    values: Float[np.ndarray, " N"],
    matched: Bool[np.ndarray, " N"],
    edges: Sequence[float],
    unit: str = "",
    unknown: str = "",
) -> list[Bin]:
    """Sorts values into bins; empty bins at both ends are left out.

    Args:
        values: a property, NaN where it is not known.
        matched: whether each is matched.
        edges: ascending; a bin includes its lower edge. The first and last bin are open-ended.
        unit: of the values, for the names of the bins.
        unknown: name of a last bin for the NaNs, left out when there are none.
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


def align(tables: Sequence[Sequence[Bin]]) -> list[tuple[str, list[Bin | None]]]:
    """The bins of several tables side by side.

    Returns:
        `[(range, one Bin or None per table)]`; None where a table lacks the range.
    """
    names = list(dict.fromkeys(bin.name for table in tables for bin in table))
    by_name = [{bin.name: bin for bin in table} for table in tables]
    return [(name, [bins.get(name) for bins in by_name]) for name in names]
