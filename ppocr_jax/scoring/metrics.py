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
        self._truth, truth = _usable(truth)
        self._found, found = _usable(found)
        self._ignored = {index for index in self._truth if ignore[index]}
        self._dropped = set()  # found in an ignored region
        self._partners = []  # (label, found) with an IoU above the limit, in the order of the lists
        true_areas, areas = shapely.area(truth), shapely.area(found)
        for row, column, common in _intersections(truth, found):
            label, other = self._truth[row], self._found[column]
            union = true_areas[row] + areas[column] - common
            if label not in self._ignored:
                if union > 0 and common / union > MIN_IOU:
                    self._partners.append((label, other))
            elif areas[column] > 0 and common / areas[column] > MIN_IGNORED:
                self._dropped.add(other)

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


def _usable(polygons):
    """`(indices, shapely polygons)` of the valid and simple ones."""
    indices = [index for index, points in enumerate(polygons) if len(points) >= 3]
    shapes = [shapely.Polygon(np.asarray(polygons[index], np.float32)) for index in indices]
    shapes = np.array(shapes, object)
    good = shapely.is_valid(shapes) & shapely.is_simple(shapes)
    return [index for index, fine in zip(indices, good, strict=True) if fine], shapes[good]


def _intersections(truth, found):
    """`(row, column, common area)` of pairs whose bounding boxes meet, in the lists' order."""
    a, b = shapely.bounds(truth)[:, None], shapely.bounds(found)[None]
    apart = (a[..., 2] < b[..., 0]) | (b[..., 2] < a[..., 0])
    apart |= (a[..., 3] < b[..., 1]) | (b[..., 3] < a[..., 1])
    rows, columns = np.nonzero(~apart)
    areas = shapely.area(shapely.intersection(truth[rows], found[columns]))
    return zip(rows.tolist(), columns.tolist(), areas.tolist(), strict=True)


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
