"""Kinds of mistakes: merged and split words, which the metric counts as missed and false.

The metric pairs one box with one word. A box over two words therefore counts as two missed words
and one false box, a word found in two pieces as one missed word and two false boxes. They are given
names here; the counts of the metric stay as they are.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import shapely

from ppocr_jax.scoring.evaluation import Outcome
from ppocr_jax.scoring.metrics import intersecting_pairs, valid_polygons

COVERED = 0.5  # share of a polygon's area inside another one, above which it counts as in it
MOST_PAIRS = 200_000  # of an image; nobody reads the names of more


class Kinds(NamedTuple):
    """The lists of `metrics.Matches`, with more precise words for some of the mistakes.

    Attributes:
        truth: of the "missed" labels, "merged" are those in a box that covers another label too,
            "split" those in which several false boxes lie.
        found: of the "false" boxes, "merged" and "split" are those boxes.
    """

    truth: list[str]
    found: list[str]

    def count(self) -> dict[str, int]:  # type: ignore[override]  # tuple.count is of no use here
        """Counts by name: missed, false, merged_words, merged_boxes, split_words, split_boxes.

        The first two are the metric's; merged and split ones are included in them.
        """
        truth = {word: self.truth.count(word) for word in ("missed", "merged", "split")}
        found = {word: self.found.count(word) for word in ("false", "merged", "split")}
        return {
            "missed": sum(truth.values()),
            "false": sum(found.values()),
            "merged_words": truth["merged"],
            "merged_boxes": found["merged"],
            "split_words": truth["split"],
            "split_boxes": found["split"],
        }


def name_kinds(outcome: Outcome) -> Kinds:
    """The kinds of mistakes in one image."""
    truth, found = list(outcome.matches.truth), list(outcome.matches.found)
    labels, label_shapes = valid_polygons(outcome.sample.polygons)
    boxes, box_shapes = valid_polygons(outcome.polygons)
    rows, columns = intersecting_pairs(label_shapes, box_shapes)
    if "missed" not in truth and "false" not in found or len(rows) > MOST_PAIRS:
        return Kinds(truth, found)
    # Merged before split: a box over two words is one mistake, even where it also lies in a label.
    common = shapely.area(shapely.intersection(label_shapes[rows], box_shapes[columns]))
    in_box = common > COVERED * shapely.area(label_shapes)[rows]
    in_label = common > COVERED * shapely.area(box_shapes)[columns]
    several = np.bincount(columns[in_box], minlength=len(boxes)) > 1
    for row, column in zip(rows[in_box], columns[in_box], strict=True):
        if several[column]:
            _rename(truth, labels[row], "missed", "merged")
            _rename(found, boxes[column], "false", "merged")
    pieces = [
        (labels[row], boxes[column])
        for row, column in zip(rows[in_label], columns[in_label], strict=True)
        if truth[labels[row]] == "missed" and found[boxes[column]] == "false"
    ]
    count = collections.Counter(label for label, _ in pieces)
    for label, box in pieces:
        if count[label] > 1:
            _rename(truth, label, "missed", "split")
            _rename(found, box, "false", "split")
    return Kinds(truth, found)


def _rename(words: list[str], index: int, old: str, new: str) -> None:
    if words[index] == old:
        words[index] = new


def add_counts(kinds: Iterable[Kinds]) -> dict[str, int]:
    """Sums of `Kinds.count` over images."""
    counts = [each.count() for each in kinds]
    return {name: sum(c[name] for c in counts) for name in Kinds([], []).count()}


def explain(counts: Mapping[str, int]) -> str:
    """Merged and split words in a sentence; "" where there are none."""
    parts = []
    if counts["merged_words"] or counts["merged_boxes"]:
        boxes, words = counts["merged_boxes"], counts["merged_words"]
        parts.append(
            f"{number(boxes, 'false box', 'false boxes')} and "
            f"{number(words, 'missed word', 'missed words')} are merged: one box over several words"
        )
    if counts["split_words"]:
        boxes, words = counts["split_boxes"], counts["split_words"]
        parts.append(
            f"{number(words, 'missed word is', 'missed words are')} split into "
            f"{number(boxes, 'false box', 'false boxes')}"
        )
    return "; ".join(parts)


def number(count: int, one: str, many: str) -> str:
    """A count with its noun: `1 box`, `2 boxes`."""
    return f"{count} {one if count == 1 else many}"
