"""What went wrong with a box or a word, in words that say more than the metric counts.

The metric pairs one box with one word. A box over two words is therefore two words missed and one
box false, and a word in two pieces is one missed and two false. Both are named here, and change
no count.
"""

from typing import NamedTuple

import numpy as np
import shapely

from ppocr_jax.scoring.metrics import meeting, usable

COVERED = 0.5  # share of a polygon's area inside another one, from which on it counts as in it
MOST_PAIRS = 200_000  # of an image; beyond that nobody reads the names


class Kinds(NamedTuple):
    """As `metrics.Matches.truth` and `.found`, with some of the words made more precise.

    Attributes:
        truth: of "missed" labels, "merged": in a box that covers another label too; "split":
            several false boxes lie in it.
        found: of "false" boxes, "merged" and "split": those boxes.
    """

    truth: list[str]
    found: list[str]

    def count(self):
        """`{"missed", "false", "merged_words", "merged_boxes", "split_words", "split_boxes"}`.

        The first two are the metric's, so the others are among them.
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


def name_kinds(outcome):
    """`Kinds` of an `evaluation.Outcome`."""
    truth, found = list(outcome.matches.truth), list(outcome.matches.found)
    labels, label_shapes = usable(outcome.sample.polygons)
    boxes, box_shapes = usable(outcome.polygons)
    rows, columns = meeting(label_shapes, box_shapes)
    if "missed" not in truth and "false" not in found or len(rows) > MOST_PAIRS:
        return Kinds(truth, found)
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
    for label, box in pieces:
        if sum(label == other for other, _ in pieces) > 1:
            _rename(truth, label, "missed", "split")
            _rename(found, box, "false", "split")
    return Kinds(truth, found)


def _rename(words, index, old, new):
    if words[index] == old:
        words[index] = new


def add_counts(kinds):
    """The counts of several images together, see `Kinds.count`."""
    counts = [each.count() for each in kinds]
    return {name: sum(c[name] for c in counts) for name in Kinds([], []).count()}


def explain(counts):
    """A sentence on merged and split words; "" where there are none."""
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


def number(count, one, many):
    """A count with its word: `1 box`, `2 boxes`."""
    return f"{count} {one if count == 1 else many}"
