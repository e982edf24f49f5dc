"""Which cause a bad score is given, by maps, boxes, labels and course of runs made for it."""

import pathlib
from types import SimpleNamespace

import numpy as np
import pytest
from tiny import draw_data, load_config, write_config

from ppocr_jax.data.splits import read_validation
from ppocr_jax.data.training_split import Training
from ppocr_jax.data.words_in_crops import measure_crops
from ppocr_jax.detection.inference import Predicted
from ppocr_jax.scoring.case import Course
from ppocr_jax.scoring.diagnosis import CAUSES, find_cause
from ppocr_jax.scoring.evaluation import Outcome, summary
from ppocr_jax.scoring.metrics import Overlaps

HEALTHY = Course(step=50, rate=1e-3, growth=1.02, losses=(2.0, 1.5), best=0.5)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """`(config, training samples, validation samples)` of pictures of 96 pixels with 3 words."""
    folder = tmp_path_factory.mktemp("diagnosis")
    path = write_config(folder, draw_data(folder / "data", train=6, val=6))
    config = load_config(path)
    return config, Training(config).samples, read_validation(config)


def as_outcome(sample, found, peak=1.0, mean=0.1, size=(96, 96), scale=1.0, reason=""):
    """What an evaluation gives for a picture in which these boxes were found."""
    outcome = Outcome(sample, Predicted(0, None, size, reason), {})
    outcome.polygons, outcome.scores = found, np.ones(len(found), np.float32)
    outcome.network_size = tuple(int(side * scale) for side in size)
    outcome.map_max, outcome.map_mean = peak, mean
    outcome.matches = Overlaps(sample.polygons, sample.ignore, found).matches()
    return outcome


def diagnose(data, found, course=HEALTHY, config=None, samples=None, **map_facts):
    """The cause that is named when `found(sample)` are the boxes of each validation image."""
    outcomes = [as_outcome(s, found(s), **map_facts) for s in samples or data[2]]
    metrics = summary(np.array([outcome.row() for outcome in outcomes], float), 1.0)
    cause = find_cause(outcomes, metrics, config or data[0], course)
    assert cause is None or ("likely" in cause.text and "\n" not in cause.text)
    return cause


def nothing(sample):
    return []


def words(sample):
    """The labels themselves: a perfect network."""
    return [np.round(polygon).astype(np.int32) for polygon in sample.polygons]


def change(sample, **values):
    return SimpleNamespace(**{**vars(sample), **values})


def test_a_good_score_needs_no_explanation(data):
    assert diagnose(data, words) is None
    assert diagnose(data, words, HEALTHY._replace(step=0, best=None)) is None


def test_all_labels_ignored(data):
    ignored = [change(s, ignore=(True,) * len(s.ignore)) for s in data[2]]
    cause = diagnose(data, words, samples=ignored)
    assert cause.name == "labels_ignored" and "all 18 words" in cause.text
    empty = [change(s, polygons=(), ignore=()) for s in data[2]]
    assert "no word at all" in diagnose(data, nothing, samples=empty).text


def test_labels_of_another_size(data):
    half = [change(s, polygons=tuple(p / 2 for p in s.polygons)) for s in data[2]]
    places = {s.image_path: words(s) for s in data[2]}
    cause = diagnose(data, lambda s: places[s.image_path], samples=half)
    assert cause.name == "labels_misplaced" and "multiplied by 2.0" in cause.text


def test_labels_of_another_size_where_no_box_tells(data):
    for factor, said in ((1 / 3, "upper left"), (3.0, "leave them")):
        moved = [change(s, polygons=tuple(p * factor for p in s.polygons)) for s in data[2]]
        cause = diagnose(data, nothing, samples=moved)
        assert cause.name == "labels_misplaced" and said in cause.text


def test_boxes_beside_all_labels(data):
    corner = np.array([[0, 0], [4, 0], [4, 4], [0, 4]], np.int32)
    first = diagnose(data, lambda s: [corner], HEALTHY._replace(best=0.0))
    assert first.name == "no_box_fits" and "none of 6 found boxes fits one of 18" in first.text


def test_training_labels_of_another_size(data):
    course = HEALTHY._replace(misfit="the labels of 6 of 6 pictures leave them", growth=3.0)
    cause = diagnose(data, nothing, course)
    assert cause.name == "training_labels_misplaced" and "labels of 6 of 6" in cause.text
    given = diagnose(data, nothing, course._replace(step=0, best=None))
    assert given.name != "training_labels_misplaced"  # nothing was learned from them yet


def test_too_high_a_rate(data):
    course = HEALTHY._replace(rate=0.5, growth=3.6)
    cause = diagnose(data, nothing, course, peak=0.0, mean=0.0)
    assert cause.name == "rate_too_high" and "learning rate 0.5" in cause.text
    assert "nothing in the maps is above" in cause.text and "with 0.001 or less" in cause.text
    course = HEALTHY._replace(rate=4e-3, growth=1.1, losses=(2.0, 2.6), worse=True)
    cause = diagnose(data, nothing, course)
    assert "the loss rose from 2 to 2.6" in cause.text and "with 0.0004 or less" in cause.text


def test_text_too_small_for_the_scale(data):
    cause = diagnose(data, nothing, HEALTHY._replace(step=0, best=None), scale=1 / 4)
    assert cause.name == "text_too_small" and "eval.limit_side=96 to about" in cause.text


def test_fresh_values(data):
    course = Course(step=0, fresh=("neck", "head.binarize"))
    cause = diagnose(data, nothing, course, peak=0.9, mean=0.6)
    assert cause.name == "fresh_values"
    assert "neck and head.binarize started from random values and no update" in cause.text
    assert "nearly all of the maps is above" in cause.text


def test_crops_too_small(data):
    config = data[0].copy_and_resolve_references()
    config.crop = 32
    course = HEALTHY._replace(samples=data[1], worse=True)
    cause = diagnose(data, nothing, course, config)
    assert cause.name == "crops_too_small" and "crops of 32 pixels" in cause.text
    assert diagnose(data, nothing, course).name != "crops_too_small"
    small, usual = (measure_crops(data[1], c) for c in (config, data[0]))
    assert small.height < 0.7 * usual.height and small.lost > usual.lost
    assert measure_crops(data[1], config) == small
    fresh = diagnose(data, nothing, course._replace(fresh=("neck",)), config)
    assert fresh.name == "fresh_values" and "besides, the crops of 32" in fresh.text


def test_lines_are_no_words(data):
    def line(sample):
        box = np.concatenate(sample.polygons)
        (left, top), (right, bottom) = box.min(0) - 1, box.max(0) + 1
        return [np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.int32)]

    cause = diagnose(data, line)
    assert cause.name == "kind_of_boxes" and "the network finds lines" in cause.text
    lines = [change(s, polygons=tuple(line(s)), ignore=(False,)) for s in data[2]]
    places = {s.image_path: words(s) for s in data[2]}
    cause = diagnose(data, lambda s: places[s.image_path], samples=lines)
    assert cause.name == "kind_of_boxes" and "the network finds words" in cause.text


def test_maps_without_regions_and_maps_that_are_full(data):
    assert diagnose(data, nothing, peak=0.2).name == "maps_empty"
    assert "box_thresh=0.6" in diagnose(data, nothing, peak=0.5).text
    corner = np.array([[0, 0], [90, 0], [90, 3], [0, 3]], np.int32)
    assert diagnose(data, lambda s: [corner], mean=0.9).name == "maps_full"


def test_the_end_of_a_run_without_gain(data):
    course = HEALTHY._replace(ends=True)
    assert diagnose(data, words, course).name == "too_few_images"
    assert diagnose(data, words, course._replace(warmup=80)).name == "warm_up"
    later = course._replace(warmup=20, begin=40)
    assert "the run had 10 since step 40" in diagnose(data, words, later).text
    worse = course._replace(worse=True, samples=data[1])
    assert diagnose(data, words, worse).name == "learned_by_heart"
    assert diagnose(data, words, worse._replace(losses=(2.0, 1.95))).name == "rate_or_data"


def test_a_score_that_fell(data):
    few = {s.image_path: words(s)[:1] for s in data[2]}
    assert diagnose(data, lambda s: few[s.image_path], HEALTHY._replace(best=0.6)) is None
    cause = diagnose(data, lambda s: few[s.image_path], HEALTHY._replace(best=0.8))
    assert cause.name == "rate_or_data"


def test_unreadable_images(data):
    cause = diagnose(data, nothing, reason="x.png: not an image")
    assert cause.name == "unreadable_images" and "6 of 6" in cause.text


def test_every_cause_is_tested():
    text = pathlib.Path(__file__).read_text()
    assert [look.__name__ for look in CAUSES if f'"{look.__name__}"' not in text] == []
