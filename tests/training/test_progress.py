"""What a state's `meta` says of a run: the same list in both directions."""

import dataclasses
import json

from configs import parts
from ppocr_jax.training.progress import Progress

SCORED = {"student": {"hmean": 0.5}, "student2": {"hmean": 0.7}}


def filled():
    progress = Progress(step=6, window=[(5, {"total": 1.5}, 0), (6, {"total": 1.25}, 2)])
    progress.note_evaluation(SCORED, "student")
    return progress


def test_all_that_is_saved_is_read_back():
    meta = json.loads(json.dumps(filled().to_meta(a_config())))
    again = Progress.from_meta(meta)
    assert again == filled() and again.window == filled().window
    assert {field.name for field in dataclasses.fields(Progress)} < set(meta)
    assert meta["roles"] == ["student"] and meta["config"]["epochs"] == 1


def test_a_meta_of_an_older_version_lacks_a_field():
    meta = filled().to_meta(a_config())
    del meta["evaluated_step"]
    assert Progress.from_meta(meta).evaluated_step == -1


def test_the_best_is_the_newest_of_equals():
    progress = Progress(step=3)
    for step, hmean in ((3, 0.5), (6, 0.5), (9, 0.4)):
        progress.step = step
        progress.note_evaluation({"student": {"hmean": hmean}}, "student")
    assert progress.best == {"hmean": 0.5, "step": 6} and progress.evaluated
    progress.step += 1
    assert not progress.evaluated


def a_config():
    config = parts.base(epochs=1)
    config.roles = dict(student=parts.small())
    config.trainable = ("student",)
    return config
