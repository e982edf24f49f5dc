"""Precision, recall and hmean of found polygons, as ICDAR 2015's incidental scene text has them.

Source: the evaluation protocol of Karatzas et al., ICDAR 2015, with PaddleOCR's details: matches
are greedy in the order of the lists, and a match needs an IoU strictly above 0.5.
"""

from typing import NamedTuple

import numpy as np
import shapely

MIN_IOU = 0.5
MIN_IGNORED = 0.5  # share of a found polygon inside one ignored region


class Counts(NamedTuple):
    """Of one image: `labelled` and `found` leave out what is ignored, which is counted apart."""

    labelled: int
    found: int
    matched: int
    ignored: int
    found_ignored: int


class Matches(NamedTuple):
    """What became of every polygon of one image.

    Attributes:
        counts: of the image.
        truth: a word per label: "matched", "missed", "ignored", or "left out" (self-crossing).
        found: per found polygon: "matched", "false", "ignored" or "left out".
    """

    counts: Counts
    truth: list[str]
    found: list[str]


def match_image(truth, ignore, found):
    """`Counts` of one image; see `Overlaps`."""
    return Overlaps(truth, ignore, found).counts()


class Overlaps:
    """The polygons of one image, compared once; then matched for any choice of the found ones.

    Args:
        truth: polygons `[P, 2]`, P >= 3. Self-crossing ones are left out.
        ignore: bool per polygon of `truth`.
        found: polygons `[P, 2]`. Self-crossing ones are left out; one with more than half of
            its area inside one ignored region is ignored too.
    """

    def __init__(self, truth, ignore, found):
        self._totals = len(truth), len(found)
        self._truth, truth = usable(truth)
        self._found, found = usable(found)
        tags = np.array([bool(ignore[index]) for index in self._truth], bool)
        self._ignored = {index for index in self._truth if ignore[index]}
        # (label, found) with an IoU above the limit, in the order of the lists
        self._partners = [
            (self._truth[row], self._found[column])
            for row, column in _partners(truth, np.nonzero(~tags)[0], found)
        ]
        self._dropped = {self._found[column] for column in _inside(truth[tags], found)}

    def counts(self, keep=None):
        """`Counts`, when of the found polygons only those count for which `keep` is true."""
        found = [index for index in self._found if keep is None or keep[index]]
        dropped = sum(index in self._dropped for index in found)
        return Counts(
            labelled=len(self._truth) - len(self._ignored),
            found=len(found) - dropped,
            matched=len(self._match(keep)),
            ignored=len(self._ignored),
            found_ignored=dropped,
        )

    def matches(self):
        """`Matches` with all found polygons."""
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

    def _match(self, keep):
        """`{label: found}`, one to one: the first partner above the limit, not the best one."""
        pairs, taken = {}, set()
        for label, other in self._partners:
            if label in pairs or other in taken or other in self._dropped:
                continue
            if keep is None or keep[other]:
                pairs[label] = other
                taken.add(other)
        return pairs


def usable(polygons):
    """`(indices, shapely polygons)` of the valid and simple ones."""
    indices = [index for index, points in enumerate(polygons) if len(points) >= 3]
    shapes = [shapely.Polygon(np.asarray(polygons[index], np.float32)) for index in indices]
    shapes = np.array(shapes, object)
    good = shapely.is_valid(shapes) & shapely.is_simple(shapes)
    return [index for index, fine in zip(indices, good, strict=True) if fine], shapes[good]


def meeting(truth, found):
    """`(rows, columns)` of pairs that have a point in common, in the order of the lists."""
    rows, columns = shapely.STRtree(found).query(truth, predicate="intersects")
    order = np.lexsort((columns, rows))
    return rows[order], columns[order]


def _partners(truth, rows, found):
    """`(row, column)` of pairs with an IoU above the limit, of these rows of the labels."""
    numbers, columns = meeting(truth[rows], found)
    rows = rows[numbers]
    true_areas, areas = shapely.area(truth)[rows], shapely.area(found)[columns]
    # An IoU is at most the smaller area by the larger: thousands of labels over one another are
    # not cut with everything that was found.
    alike = np.minimum(true_areas, areas) > 0.99 * MIN_IOU * np.maximum(true_areas, areas)
    rows, columns, true_areas, areas = (a[alike] for a in (rows, columns, true_areas, areas))
    common = shapely.area(shapely.intersection(truth[rows], found[columns]))
    union = true_areas + areas - common
    with np.errstate(divide="ignore", invalid="ignore"):
        above = (union > 0) & (common / union > MIN_IOU)
    return zip(rows[above].tolist(), columns[above].tolist(), strict=True)


def _inside(regions, found):
    """Columns of what lies in one region by more than the limit; each is cut until it does."""
    rows, columns = meeting(regions, found)
    areas, dropped = shapely.area(found), np.zeros(len(found), bool)
    starts = np.searchsorted(rows, np.arange(len(regions) + 1))
    for region, start, end in zip(regions, starts, starts[1:], strict=False):
        left = columns[start:end]
        left = left[~dropped[left] & (areas[left] > 0)]
        if len(left):
            common = shapely.area(shapely.intersection(region, found[left]))
            dropped[left] = common / areas[left] > MIN_IGNORED
    return np.nonzero(dropped)[0].tolist()


def summarise(counts):
    """Precision, recall and hmean over a split, with the sums that they come from.

    Args:
        counts: list of `Counts`.

    Returns:
        dict of builtin numbers; a ratio without a denominator is 0.
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
