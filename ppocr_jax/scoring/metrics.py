"""Precision, recall and hmean of detected polygons, by the rules of ICDAR 2015 incidental text.

Source: the evaluation protocol of Karatzas et al., ICDAR 2015. Where the protocol leaves a choice,
PaddleOCR's is taken, so that numbers can be compared: matching is greedy in list order, and a match
needs an IoU strictly above 0.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import shapely
from jaxtyping import Bool, Int, Real

MIN_IOU = 0.5  # a match needs more than this
MIN_IGNORED = 0.5  # a detection with more than this share of its area in one ignored region is too

# One polygon, (x, y) in pixels. The underscore says that P differs between polygons.
Polygon = Real[np.ndarray, "_P 2"]
# Shapely geometries in an object array, so that shapely's functions apply to all of them at once.
Shapes = np.ndarray


class Counts(NamedTuple):
    """Counts of one image.

    Attributes:
        labelled: ground-truth polygons that count.
        found: detections that count.
        matched: pairs of the two.
        ignored: ground-truth polygons marked as ignored; not in `labelled`.
        found_ignored: detections inside an ignored region; not in `found`.
    """

    labelled: int
    found: int
    matched: int
    ignored: int
    found_ignored: int


class Matches(NamedTuple):
    """The outcome for every polygon of one image.

    Attributes:
        counts: of the image.
        truth: per ground-truth polygon "matched", "missed", "ignored", or "left out" when it
            crosses itself.
        found: per detection "matched", "false", "ignored" or "left out".
    """

    counts: Counts
    truth: list[str]
    found: list[str]


def match_image(
    truth: Sequence[Polygon], ignore: Sequence[bool], found: Sequence[Polygon]
) -> Counts:
    """Matches the detections of one image with its ground truth; arguments as for `Overlaps`."""
    return Overlaps(truth, ignore, found).counts()


class Overlaps:
    """Overlaps between the polygons of one image, computed once for many selections.

    A threshold sweep scores the same detections many times, each time keeping other ones. The
    geometry is done here; `counts` then only repeats the matching.

    Args:
        truth: ground-truth polygons `[P, 2]`, P >= 3. Self-crossing ones are left out.
        ignore: bool per polygon of `truth`.
        found: detected polygons `[P, 2]`. Self-crossing ones are left out; one with more than half
            of its area inside a single ignored region is ignored too.
    """

    def __init__(
        self, truth: Sequence[Polygon], ignore: Sequence[bool], found: Sequence[Polygon]
    ) -> None:
        self._totals = len(truth), len(found)
        self._truth, true_shapes = valid_polygons(truth)
        self._found, found_shapes = valid_polygons(found)
        ignored = np.array([bool(ignore[index]) for index in self._truth], bool)
        self._ignored = {index for index in self._truth if ignore[index]}
        # (label, detection) with an IoU above the limit, in list order: the order of matching
        self._partners = [
            (self._truth[row], self._found[column])
            for row, column in _partners(true_shapes, np.nonzero(~ignored)[0], found_shapes)
        ]
        self._dropped = {
            self._found[column] for column in _inside(true_shapes[ignored], found_shapes)
        }

    def counts(self, keep: Sequence[bool] | None = None) -> Counts:
        """Counts when only some detections are kept.

        Args:
            keep: bool per detection; None keeps them all.
        """
        found = [index for index in self._found if keep is None or keep[index]]
        dropped = sum(index in self._dropped for index in found)
        return Counts(
            labelled=len(self._truth) - len(self._ignored),
            found=len(found) - dropped,
            matched=len(self._match(keep)),
            ignored=len(self._ignored),
            found_ignored=dropped,
        )

    def matches(self) -> Matches:
        """The outcome for every polygon, with all detections kept."""
        pairs = self._match(None)
        truth, found = ["left out"] * self._totals[0], ["left out"] * self._totals[1]
        for index in self._truth:
            ignored = index in self._ignored
            truth[index] = "ignored" if ignored else "matched" if index in pairs else "missed"
        matched = set(pairs.values())
        for index in self._found:
            dropped = index in self._dropped
            found[index] = "ignored" if dropped else "matched" if index in matched else "false"
        return Matches(self.counts(), truth, found)

    def _match(self, keep: Sequence[bool] | None) -> dict[int, int]:
        """`{label: detection}`, one to one, matched greedily.

        A label takes its first free partner in list order, not the one with the highest IoU: this
        is what PaddleOCR's evaluation does. Optimal matching could give more matches.
        """
        pairs: dict[int, int] = {}
        taken: set[int] = set()
        for label, detection in self._partners:
            if label in pairs or detection in taken or detection in self._dropped:
                continue
            if keep is None or keep[detection]:
                pairs[label] = detection
                taken.add(detection)
        return pairs


def valid_polygons(polygons: Sequence[Polygon]) -> tuple[list[int], Shapes]:
    """Indices and shapely polygons of those that are valid and do not cross themselves."""
    indices = [index for index, points in enumerate(polygons) if len(points) >= 3]
    # Labels are float32 already; detections get the same precision before both are compared.
    polygon_list = [shapely.Polygon(np.asarray(polygons[index], np.float32)) for index in indices]
    shapes = np.array(polygon_list, object)
    good = shapely.is_valid(shapes) & shapely.is_simple(shapes)
    return [index for index, fine in zip(indices, good, strict=True) if fine], shapes[good]


def intersecting_pairs(
    truth: Shapes, found: Shapes
) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"]]:
    """`(rows, columns)` of the pairs that share at least a point, in list order."""
    rows, columns = shapely.STRtree(found).query(truth, predicate="intersects")
    order = np.lexsort((columns, rows))  # the tree answers in any order; matching depends on it
    return rows[order], columns[order]


def _partners(
    truth: Shapes, rows: Int[np.ndarray, " R"], found: Shapes
) -> Iterable[tuple[int, int]]:
    """`(row, column)` of the pairs with an IoU above the limit, for these rows of `truth`."""
    numbers, columns = intersecting_pairs(truth[rows], found)
    rows = rows[numbers]
    true_areas, areas = shapely.area(truth)[rows], shapely.area(found)[columns]
    # An IoU is at most the smaller area over the larger one. Pairs that cannot reach the limit are
    # skipped, so that thousands of stacked labels are not intersected with every detection.
    alike = np.minimum(true_areas, areas) > 0.99 * MIN_IOU * np.maximum(true_areas, areas)
    rows, columns, true_areas, areas = (a[alike] for a in (rows, columns, true_areas, areas))
    common = shapely.area(shapely.intersection(truth[rows], found[columns]))
    union = true_areas + areas - common
    with np.errstate(divide="ignore", invalid="ignore"):  # polygons without area
        above = (union > 0) & (common / union > MIN_IOU)
    return zip(rows[above].tolist(), columns[above].tolist(), strict=True)


def _inside(regions: Shapes, found: Shapes) -> list[int]:
    """Columns of the detections that lie mostly inside one of the regions."""
    rows, columns = intersecting_pairs(regions, found)
    areas = shapely.area(found)
    dropped: Bool[np.ndarray, " F"] = np.zeros(len(found), bool)
    starts = np.searchsorted(rows, np.arange(len(regions) + 1))
    # Region by region, since a detection that is dropped already needs no further intersection.
    for region, start, end in zip(regions, starts, starts[1:], strict=False):
        left = columns[start:end]
        left = left[~dropped[left] & (areas[left] > 0)]
        if len(left):
            common = shapely.area(shapely.intersection(region, found[left]))
            dropped[left] = common / areas[left] > MIN_IGNORED
    return np.nonzero(dropped)[0].tolist()


def summarise(counts: Sequence[Counts]) -> dict[str, float]:
    """Precision, recall and hmean over a split, with the sums behind them.

    Sums are taken over the whole split before dividing: an image with many words weighs more.

    Args:
        counts: one `Counts` per image.

    Returns:
        Built-in numbers by name. A ratio with an empty denominator is 0.
    """
    labelled, found, matched, ignored, found_ignored = (
        int(sum(column)) for column in zip(*counts, strict=True)
    ) if counts else (0,) * 5  # fmt: skip
    precision = matched / found if found else 0.0
    recall = matched / labelled if labelled else 0.0
    both = precision + recall
    return {
        "precision": precision,
        "recall": recall,
        "hmean": 2.0 * precision * recall / both if both else 0.0,
        "boxes_found": found,
        "boxes_labelled": labelled,
        "boxes_matched": matched,
        "boxes_ignored": ignored,
        "boxes_found_in_ignored": found_ignored,
    }
