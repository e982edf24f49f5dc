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


def match_image(truth, ignore, found):
    """Counts of one image.

    Args:
        truth: polygons `[P, 2]`, P >= 3. Self-crossing ones are left out.
        ignore: bool per polygon of `truth`.
        found: polygons `[P, 2]`. Self-crossing ones are left out; one with more than half of
            its area inside one ignored region is ignored too.

    Returns:
        `Counts`.
    """
    truth = _usable(truth)
    ignored = [bool(ignore[index]) for index, _ in truth]
    truth = [polygon for _, polygon in truth]
    found = [polygon for _, polygon in _usable(found)]
    near, overlap = _intersections(truth, found)
    areas = shapely.area(np.array(found, object)) if found else np.zeros(0)
    dropped = set()
    for (row, column), area in zip(near, overlap, strict=True):
        if ignored[row] and areas[column] > 0 and area / areas[column] > MIN_IGNORED:
            dropped.add(column)
    matched = _match(truth, ignored, areas, dropped, near, overlap)
    return Counts(
        labelled=len(truth) - sum(ignored),
        found=len(found) - len(dropped),
        matched=matched,
        ignored=sum(ignored),
        found_ignored=len(dropped),
    )


def _usable(polygons):
    """`(index, shapely polygon)` of the valid and simple ones."""
    usable = []
    for index, points in enumerate(polygons):
        if len(points) >= 3:
            polygon = shapely.Polygon(np.asarray(points, np.float32))
            if polygon.is_valid and polygon.is_simple:
                usable.append((index, polygon))
    return usable


def _intersections(truth, found):
    """Pairs whose bounding boxes overlap, in the order of the lists, and their common areas."""
    if not truth or not found:
        return [], []
    ours, theirs = np.array(truth, object), np.array(found, object)
    a, b = shapely.bounds(ours)[:, None], shapely.bounds(theirs)[None]
    apart = (a[..., 2] < b[..., 0]) | (b[..., 2] < a[..., 0])
    apart |= (a[..., 3] < b[..., 1]) | (b[..., 3] < a[..., 1])
    rows, columns = np.nonzero(~apart)
    areas = shapely.area(shapely.intersection(ours[rows], theirs[columns]))
    return list(zip(rows.tolist(), columns.tolist(), strict=True)), areas


def _match(truth, ignored, areas, dropped, near, overlap):
    """Number of one-to-one matches: the first partner above the IoU, not the best one."""
    true_areas = shapely.area(np.array(truth, object)) if truth else np.zeros(0)
    used_rows, used_columns = set(), set()
    for (row, column), area in zip(near, overlap, strict=True):
        if ignored[row] or column in dropped or row in used_rows or column in used_columns:
            continue
        union = true_areas[row] + areas[column] - area
        if union > 0 and area / union > MIN_IOU:
            used_rows.add(row)
            used_columns.add(column)
    return len(used_rows)


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
