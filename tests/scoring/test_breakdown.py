"""Recall by size, shape and direction, precision by score: numbers by hand."""

import numpy as np
from outcomes import bar, four_outcomes, make_outcome, rotated

from ppocr_jax.scoring import breakdown
from ppocr_jax.scoring.breakdown import Bin


def test_words_are_measured_in_the_image_and_at_the_networks_size():
    labels = [bar(0, 0, 60, 10), rotated(60, 20, 30), rotated(20, 60, 0), bar(0, 80, 12, 10)]
    labels += [bar(70, 70, 9, 9)]
    outcome = make_outcome(labels, [False] * 4 + [True], np.zeros((192, 288), np.float32))
    words = breakdown.measure_words([outcome, make_outcome([bar(0, 0, 40, 10)], [False])])
    np.testing.assert_allclose(words.height, [10, 20, 20, 10, 10], rtol=1e-4)
    np.testing.assert_allclose(words.aspect, [6, 3, 3, 1.2, 4], rtol=1e-4)
    np.testing.assert_allclose(words.angle, [0, 30, 90, np.nan, 0], atol=1e-3)
    # Twice as high and three times as wide; the upright word is 20 wide, so 60.
    np.testing.assert_allclose(words.network_height[[0, 2, 3]], [20, 60, 20], rtol=1e-4)
    assert np.isnan(words.network_height[4]) and not words.matched.any()


def test_bins_count_from_the_lower_edge_on():
    values = np.array([7.9, 8, 11.9, 12, 100, np.nan, np.nan])
    matched = np.array([True, False, True, True, False, True, False])
    bins = breakdown.divide(values, matched, (4, 8, 12, 50, 60), " px", "unknown")
    assert bins == [
        Bin("4 to 8 px", 1, 1),
        Bin("8 to 12 px", 2, 1),
        Bin("12 to 50 px", 1, 1),
        Bin("50 to 60 px", 0, 0),
        Bin("60 px and more", 1, 0),
        Bin("unknown", 2, 1),
    ]
    assert [part.share for part in bins] == [1, 0.5, 1, 0, 0, 0.5]
    assert breakdown.divide(np.zeros(0), np.zeros(0, bool), (1, 2)) == []


def test_tables():
    outcomes = four_outcomes()
    assert [outcome.counts[:3] for outcome in outcomes] == [
        (0, 0, 0), (3, 3, 2), (0, 1, 0), (2, 0, 0)]  # fmt: skip
    tables = breakdown.recall_tables(outcomes)
    assert list(tables.values()) == [
        [Bin("8 to 12 px", 3, 0), Bin("12 to 16 px", 0, 0), Bin("16 to 24 px", 2, 2)],
        [Bin("8 to 12 px", 1, 0), Bin("12 to 16 px", 0, 0), Bin("16 to 24 px", 2, 2),
         Bin("image not read", 2, 0)],
        [Bin("1.5 to 3", 1, 1), Bin("3 to 5", 4, 1)],
        [Bin("below 5°", 5, 2)],
    ]  # fmt: skip
    assert breakdown.precision_by_score(outcomes) == [
        Bin("0.6 to 0.7", 1, 1), Bin("0.7 to 0.8", 0, 0), Bin("0.8 to 0.9", 1, 0),
        Bin("0.9 and more", 2, 1)]  # fmt: skip
