"""Kept outcomes come back as they were, and nothing else does in their place."""

import dataclasses
import json

import numpy as np
import pytest
from outcomes import four_outcomes

from ppocr_jax.scoring import kept
from ppocr_jax.scoring.metrics import summarise


@pytest.fixture
def case(tmp_path):
    outcomes = four_outcomes()
    hmean = summarise([outcome.counts for outcome in outcomes])["hmean"]
    path = tmp_path / "evaluations" / "best.json"
    kept.write(path, "student", 40, hmean, outcomes)
    return path, hmean, outcomes


def test_outcomes_come_back(case):
    path, hmean, outcomes = case
    samples = [outcome.sample for outcome in outcomes]
    again = kept.read(path, "student", 40, hmean, samples)
    for one, other in zip(outcomes, again, strict=True):
        assert one.matches == other.matches and one.row() == other.row()
        assert one.size == other.size and one.reason == other.reason
        np.testing.assert_array_equal(one.scores, other.scores)
        assert all(map(np.array_equal, one.polygons, other.polygons))
        assert other.scores.dtype == np.float32


def test_another_state_other_labels_and_damage_give_nothing(case):
    path, hmean, outcomes = case
    samples = [outcome.sample for outcome in outcomes]
    assert kept.read(path, "student", 41, hmean, samples) is None
    assert kept.read(path, "student2", 40, hmean, samples) is None
    assert kept.read(path, "student", 40, hmean + 1e-9, samples) is None
    assert kept.read(path, "student", 40, hmean, samples[:-1]) is None
    assert kept.read(path, "student", 40, hmean, samples[::-1]) is None
    blind = [dataclasses.replace(s, ignore=(True,) * len(s.ignore)) for s in samples]
    assert kept.read(path, "student", 40, hmean, blind) is None
    assert kept.read(path.with_name("gone.json"), "student", 40, hmean, samples) is None
    for text in ("{", "[]", '{"role": "student"}', "null"):
        path.write_text(text)
        assert kept.read(path, "student", 40, hmean, samples) is None


def test_a_folder_that_was_moved_is_known_by_its_files(case):
    path, hmean, outcomes = case
    moved = [
        dataclasses.replace(o.sample, image_path=f"/elsewhere/{o.sample.image_path}")
        for o in outcomes
    ]
    assert kept.read(path, "student", 40, hmean, moved) is not None


def test_shares_of_processes_are_put_in_order(monkeypatch):
    outcomes = four_outcomes()
    samples = [outcome.sample for outcome in outcomes]
    shares = [outcomes[0::3], outcomes[1::3], outcomes[2::3]]
    texts = [json.dumps([kept.to_record(o) for o in share]).encode("utf-32-le") for share in shares]
    longest = max(map(len, texts)) // 4
    padded = [text + (" " * (longest - len(text) // 4)).encode("utf-32-le") for text in texts]
    answers = iter(
        [
            np.array([[len(text) // 4] for text in texts], np.int32),
            np.stack([np.frombuffer(text, np.int32) for text in padded]),
        ]
    )
    sent = []

    def gather(rows):
        sent.append(rows)
        return next(answers)

    monkeypatch.setattr(kept.jax, "process_count", lambda: 3)
    monkeypatch.setattr(kept.devices, "gather", gather)
    together = kept.collect(shares[1], samples)
    assert [o.sample for o in together] == samples
    assert [o.matches for o in together] == [o.matches for o in outcomes]
    np.testing.assert_array_equal(sent[1], np.frombuffer(padded[1], np.int32))
