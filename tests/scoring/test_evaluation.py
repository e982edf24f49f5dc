"""Labelled images through a stand-in for a network: what is counted, and in which order."""

import json

import cv2
import numpy as np
import pytest
from tiny import draw_data, load_config, write_config

from ppocr_jax.data import resize
from ppocr_jax.data.labels import Sample
from ppocr_jax.data.splits import read_validation
from ppocr_jax.scoring import evaluation
from ppocr_jax.scoring.metrics import Counts


def darkness(variables, image, area=None):
    """Dark pixels are text."""
    return np.clip(1.1 - np.asarray(image).mean(-1) / 160, 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    draw_data(folder / "data", val=7)
    path = write_config(folder, folder / "data")
    # The stand-in shows whole words, not shrunk ones: next to nothing is to be grown back.
    return load_config(path, "eval.batch_size=3", "postprocess.unclip_ratio=0.1")


def test_bars_are_found_and_outcomes_lie_in_order(config):
    samples = read_validation(config)
    metrics, outcomes = evaluation.evaluate(darkness, None, samples, config)
    assert [outcome.sample.line for outcome in outcomes] == [sample.line for sample in samples]
    assert metrics["boxes_labelled"] == 21 and metrics["images"] == 7
    assert metrics["hmean"] > 0.9 and metrics["unreadable"] == 0
    matched = sum(outcome.counts.matched for outcome in outcomes)
    assert metrics["boxes_matched"] == matched
    assert metrics["recall"] == matched / 21
    assert {outcome.size for outcome in outcomes} == {(96, 96)}
    assert metrics["map_max"] == max(outcome.map_max for outcome in outcomes)
    assert json.loads(json.dumps(metrics)) == metrics


def test_a_lost_image_counts_with_its_words_missed(config):
    sample = read_validation(config)[0]
    lost = Sample(sample.image_path + ".gone", sample.polygons, sample.ignore, "val.txt", 9)
    metrics, outcomes = evaluation.evaluate(darkness, None, [lost, sample], config)
    assert metrics["unreadable"] == 1 and metrics["boxes_labelled"] == 6
    first, second = outcomes
    assert first.reason and first.size == (0, 0) and first.polygons == []
    assert not second.reason and second.counts.matched == metrics["boxes_matched"] > 0


def test_what_fails_in_one_image_is_missed_there(config, monkeypatch):
    samples, plain = read_validation(config), evaluation.find_polygons
    calls = []

    def find(shrink_map, size, **options):
        calls.append(size)
        if len(calls) == 2:
            raise MemoryError
        return plain(shrink_map, size, **options)

    monkeypatch.setattr(evaluation, "find_polygons", find)
    monkeypatch.setattr(evaluation, "THREADS", 1)
    metrics, outcomes = evaluation.evaluate(darkness, None, samples, config)
    assert metrics["unreadable"] == 1 and metrics["images"] == 7
    [reason] = [outcome.reason for outcome in outcomes if outcome.reason]
    assert reason.endswith("not enough memory for this image") and ".png: " in reason


def test_a_thin_image_is_seen_smaller_and_counted(config, tmp_path):
    cv2.imwrite(str(tmp_path / "line.png"), np.full((2, 9000, 3), 200, np.uint8))
    sample = Sample(str(tmp_path / "line.png"), (), (), "val.txt", 9)
    with config.unlocked():
        thin = config.copy_and_resolve_references()
    thin.eval.limit_side = 736
    metrics, [outcome] = evaluation.evaluate(darkness, None, [sample], thin)
    assert metrics["reduced"] == 1 and metrics["unreadable"] == 0 and outcome.reduced
    assert np.prod(outcome.network_size) <= resize.ENLARGED_PIXELS


def test_a_sweep_sees_every_map_by_its_place(config):
    class Seen(dict):
        def add(self, index, sample, item):
            self[index] = (sample, item.shrink_map.shape)

    seen, samples = Seen(), read_validation(config)
    evaluation.evaluate(darkness, None, samples, config, sweep=seen)
    assert [seen[index][0].line for index in range(7)] == [sample.line for sample in samples]
    assert {shape for _, shape in seen.values()} == {(96, 96)}


def test_a_summary_by_hand():
    counts = len(Counts._fields)
    rows = np.zeros((3, counts + 4), np.float32)
    names = list(Counts._fields)
    rows[0, names.index("matched")] = 2
    rows[1, -4] = 1
    rows[:, -3] = 0.5, 0.75, 1.0
    rows[:, -2] = 0.25, 0.5, 1.0
    rows[:, -1] = 1, 1, 0  # the last one could not be read
    metrics = evaluation.summary(rows, 1.5)
    assert metrics["map_max"] == 0.75 and metrics["map_mean"] == 0.375
    assert metrics["images"] == 3 and metrics["unreadable"] == 1
    assert metrics["images_per_s"] == 2.0 and metrics["boxes_matched"] == 2
    nothing = evaluation.summary(rows[2:], 1.0)
    assert nothing["map_max"] == nothing["map_mean"] == 0.0
    assert metrics["reduced"] == 1 and nothing["reduced"] == 0
    assert "3 images (1 of them too thin or large" in evaluation.explain(metrics)
    assert "1 image, 1.0 images/s" in evaluation.explain(nothing)
