"""What the metric counts as missed and false has a name where it is merged or split."""

import numpy as np
from outcomes import bar, make_outcome, map_of

from ppocr_jax.scoring import mistakes
from ppocr_jax.scoring.metrics import Overlaps
from ppocr_jax.scoring.mistakes import Kinds, name_kinds


def found_in(labels, boxes, ignore=None):
    """An outcome whose found boxes are given."""
    outcome = make_outcome(labels, ignore or [False] * len(labels), map_of())
    outcome.polygons = [box.astype(np.int32) for box in boxes]
    outcome.scores = np.full(len(boxes), 0.9, np.float32)
    outcome.matches = Overlaps(labels, outcome.sample.ignore, boxes).matches()
    return outcome


def test_a_box_over_two_words_is_merged_and_the_metric_stays():
    outcome = found_in([bar(0, 0, 40, 10), bar(45, 0, 40, 10)], [bar(0, 0, 85, 10)])
    assert outcome.counts[:3] == (2, 1, 0)
    kinds = name_kinds(outcome)
    assert kinds == Kinds(["merged", "merged"], ["merged"])
    counts = mistakes.add_counts([kinds, name_kinds(found_in([bar(0, 0, 9, 9)], []))])
    assert counts["missed"] == 3 and counts["false"] == 1 and counts["merged_words"] == 2
    line = mistakes.explain(counts)
    assert line == "1 false box and 2 missed words are merged: one box over several words"


def test_a_box_that_matches_a_long_word_has_merged_the_short_one():
    outcome = found_in([bar(0, 0, 60, 10), bar(62, 0, 20, 10)], [bar(0, 0, 82, 10)])
    assert name_kinds(outcome) == Kinds(["matched", "merged"], ["matched"])


def test_a_word_with_an_ignored_one_is_merged_too():
    labels = [bar(0, 0, 30, 10), bar(32, 0, 30, 10)]
    kinds = name_kinds(found_in(labels, [bar(0, 0, 70, 11)], [False, True]))
    assert kinds == Kinds(["merged", "ignored"], ["merged"])


def test_a_word_in_pieces_is_split():
    outcome = found_in([bar(0, 0, 90, 10)], [bar(0, 0, 40, 10), bar(45, 0, 40, 10)])
    kinds = name_kinds(outcome)
    assert kinds == Kinds(["split"], ["split", "split"])
    line = mistakes.explain(mistakes.add_counts([kinds]))
    assert line == "1 missed word is split into 2 false boxes"


def test_plain_mistakes_keep_their_names():
    labels = [bar(0, 0, 30, 10), bar(0, 40, 30, 10), bar(50, 40, 30, 10)]
    boxes = [bar(0, 0, 30, 10), bar(50, 70, 30, 10), bar(0, 40, 12, 10)]  # one piece splits nothing
    kinds = name_kinds(found_in(labels, boxes))
    assert kinds == Kinds(["matched", "missed", "missed"], ["matched", "false", "false"])
    assert mistakes.explain(mistakes.add_counts([kinds])) == ""
    crossed = np.array([[0, 0], [9, 9], [9, 0], [0, 9]], np.float32)
    assert name_kinds(found_in([crossed], [])).truth == ["left out"]
    assert name_kinds(make_outcome([bar(0, 0, 9, 9)], [False])).truth == ["missed"]


def test_what_nobody_could_read_is_not_named(monkeypatch):
    monkeypatch.setattr(mistakes, "MOST_PAIRS", 1)
    outcome = found_in([bar(0, 0, 40, 10), bar(45, 0, 40, 10)], [bar(0, 0, 85, 10)])
    assert name_kinds(outcome) == Kinds(["missed", "missed"], ["false"])
