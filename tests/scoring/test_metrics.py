"""The metric: recorded counts, and a slow plain form of it."""

import numpy as np
import pytest
import shapely

from ppocr_jax.scoring.metrics import Counts, Overlaps, match_image, summarise


def test_counts_match_reference(recorded, cases):
    groups = recorded("metric.json")
    for group in cases(list(groups)):
        counts = []
        for image in cases(groups[group]["images"]):
            truth = [np.array(polygon, np.float32) for polygon in image["gt"]]
            found = [np.array(polygon, np.float32) for polygon in image["pred"]]
            count = match_image(truth, image["ignore"], found)
            expected = (image["gtCare"], image["detCare"], image["detMatched"])
            assert (count.labelled, count.found, count.matched) == expected, image["image"]
            counts.append(count)
        totals = summarise(counts)
        for name, value in groups[group]["total"].items():
            np.testing.assert_allclose(totals[name], value, rtol=0, atol=1e-12)


def box(x, y, w=20, h=10):
    return np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], np.float32)


def plain_counts(truth, ignore, found):
    """The protocol word for word, one pair after the other."""
    truth = [(shapely.Polygon(t), bool(i)) for t, i in zip(truth, ignore, strict=True)]
    truth = [(t, i) for t, i in truth if t.is_valid and t.is_simple]
    found = [shapely.Polygon(f) for f in found]
    found = [f for f in found if f.is_valid and f.is_simple]
    dropped = {
        j
        for j, f in enumerate(found)
        for t, i in truth
        if i and f.area > 0 and t.intersection(f).area / f.area > 0.5
    }
    rows, columns = set(), set()
    for k, (t, i) in enumerate(truth):
        for j, f in enumerate(found):
            if i or j in dropped or k in rows or j in columns:
                continue
            if t.union(f).area > 0 and t.intersection(f).area / t.union(f).area > 0.5:
                rows.add(k)
                columns.add(j)
    ignored = sum(i for _, i in truth)
    return Counts(len(truth) - ignored, len(found) - len(dropped), len(rows), ignored, len(dropped))


def test_equals_the_plain_form():
    rng = np.random.default_rng(0)

    def polygons():
        count = int(rng.integers(0, 12))
        drawn = [box(*rng.uniform(0, 60, 2), *rng.uniform(5, 40, 2)) for _ in range(count)]
        return [p + rng.normal(0, 3, p.shape).astype(np.float32) for p in drawn]

    for _ in range(60):
        truth, found = polygons(), polygons()
        found += [t + np.float32(rng.normal(0, 2)) for t in truth[:4]]
        ignore = rng.random(len(truth)) < 0.3
        assert match_image(truth, ignore, found) == plain_counts(truth, ignore, found)


def test_a_choice_of_the_found_counts_as_if_the_others_were_not_there():
    rng = np.random.default_rng(1)
    for _ in range(40):
        truth = [box(*rng.uniform(0, 60, 2), *rng.uniform(5, 40, 2)) for _ in range(8)]
        found = [t + np.float32(rng.normal(0, 3)) for t in truth * 2]
        ignore, keep = rng.random(8) < 0.3, rng.random(16) < 0.5
        chosen = [polygon for polygon, kept in zip(found, keep, strict=True) if kept]
        overlaps = Overlaps(truth, ignore, found)
        assert overlaps.counts(keep) == match_image(truth, ignore, chosen)
        matches = overlaps.matches()
        assert matches.counts == overlaps.counts() == match_image(truth, ignore, found)
        assert matches.truth.count("matched") == matches.found.count("matched")
        assert matches.counts == Counts(
            8 - matches.truth.count("ignored"),
            16 - matches.found.count("ignored"),
            matches.truth.count("matched"),
            matches.truth.count("ignored"),
            matches.found.count("ignored"),
        )


def test_every_polygon_is_told_what_became_of_it():
    bow = np.array([[0, 0], [20, 10], [20, 0], [0, 10]], np.float32)
    truth = [bow, box(0, 0), box(50, 0), box(0, 50, 40, 40)]
    found = [box(5, 55), box(100, 100), box(1, 0), bow, box(0, 0)]
    matches = Overlaps(truth, [False, False, False, True], found).matches()
    assert matches.truth == ["left out", "matched", "missed", "ignored"]
    assert matches.found == ["ignored", "false", "matched", "left out", "false"]


def test_own_labels_score_one():
    truth = [box(0, 0), box(30, 0), box(0, 30)]
    counts = match_image(truth, [False] * 3, truth)
    assert counts == Counts(3, 3, 3, 0, 0)
    assert summarise([counts])["hmean"] == 1.0


def test_iou_of_exactly_half_is_no_match():
    assert match_image([box(0, 0, 20, 10)], [False], [box(0, 0, 10, 10)]).matched == 0
    assert match_image([box(0, 0, 20, 10)], [False], [box(0, 0, 11, 10)]).matched == 1


def test_the_first_partner_wins_not_the_best():
    truth = [box(0, 0, 20, 10)]
    assert match_image(truth, [False], [box(0, 0, 14, 10), box(0, 0, 20, 10)]).matched == 1
    two = [box(0, 0, 20, 10), box(0, 0, 14, 10)]
    assert match_image(two, [False] * 2, [box(0, 0, 14, 10)]).matched == 1


def test_what_lies_in_an_ignored_region_is_neither_right_nor_wrong():
    counts = match_image([box(0, 0, 40, 40)], [True], [box(5, 5), box(100, 100)])
    assert counts == Counts(0, 1, 0, 1, 1)
    half_out = match_image([box(0, 0, 20, 10)], [True], [box(10, 0, 20, 10)])
    assert half_out.found == 1  # exactly half of it is not more than half


def test_empty_sides():
    assert match_image([], [], []) == Counts(0, 0, 0, 0, 0)
    assert match_image([], [], [box(0, 0)]) == Counts(0, 1, 0, 0, 0)
    assert match_image([box(0, 0)], [False], []) == Counts(1, 0, 0, 0, 0)
    assert summarise([])["hmean"] == 0.0
    nothing = summarise([Counts(0, 0, 0, 0, 0)])
    assert nothing["precision"] == nothing["recall"] == 0.0


def test_self_crossing_polygons_are_left_out():
    bow = np.array([[0, 0], [20, 10], [20, 0], [0, 10]], np.float32)
    assert match_image([bow, box(0, 0)], [False] * 2, [bow, box(0, 0)]) == Counts(1, 1, 1, 0, 0)
    assert match_image([box(0, 0)[:2]], [False], []).labelled == 0


def test_sums_are_over_the_whole_split():
    totals = summarise([Counts(4, 2, 1, 1, 0), Counts(0, 2, 0, 0, 1)])
    assert totals["precision"] == 0.25 and totals["recall"] == 0.25
    assert totals["hmean"] == pytest.approx(0.25)
    assert totals["boxes_found"] == 4 and totals["boxes_ignored"] == 1


def test_labels_over_one_another_are_not_all_cut(monkeypatch):
    """Neither thousands of large labels nor of ignored ones cost a cut per found polygon each."""
    pairs = []

    def counted(first, second, cut=shapely.intersection):
        common = cut(first, second)
        pairs.append(np.size(common))
        return common

    monkeypatch.setattr(shapely, "intersection", counted)
    found = [box(30 * x, 20 * y) for x in range(9) for y in range(9)]
    large = [box(-x, 0, 400, 400) for x in range(500)]
    counts = match_image(large, [False] * 500, found)
    assert counts == Counts(labelled=500, found=81, matched=0, ignored=0, found_ignored=0)
    assert sum(pairs) == 0
    counts = match_image(large, [True] * 500, found)
    assert counts == Counts(labelled=0, found=0, matched=0, ignored=500, found_ignored=81)
    assert sum(pairs) == 81
