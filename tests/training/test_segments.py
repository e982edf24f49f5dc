"""Where a run goes on at another rate or for more steps: what the new segment is, and its lines."""

from types import SimpleNamespace

import pytest

from configs import parts
from ppocr_jax import config as configs
from ppocr_jax.errors import UserError
from ppocr_jax.optim.schedule import Segment
from ppocr_jax.training import segments
from ppocr_jax.training.progress import Progress

FIRST = Segment(0, 60, 1e-3, 10)


def a_config(**values):
    config = parts.base(epochs=4)
    config.roles = dict(student=parts.small())
    config.trainable = ("student",)
    config.init_from = parts.init_from(config.roles)
    config.loss = parts.losses(labels=("student",))
    config.update({"steps": 60, "warmup_epochs": 0.5, **values})
    return config


def go_on(step, known=(FIRST,), saved=None, given=(), stale=3, epoch_steps=20, **values):
    """`(segments, lines, stale)` of a run that stands at `step` and goes on with new values."""
    progress = Progress(step=step, segments=list(known), stale=stale)
    config = a_config(**values)
    training = SimpleNamespace(
        total_steps=config.steps or config.epochs * epoch_steps, epoch_steps=epoch_steps
    )
    tree = configs.record(a_config(**(saved or {})))
    lines = segments.go_on(progress, tree, config, training, given)
    return progress.segments, lines, progress.stale


def test_the_same_values_go_on_where_they_stood():
    assert go_on(30) == ([FIRST], [], 3)
    assert go_on(30, given=("learning_rate", "steps")) == ([FIRST], [], 3)
    assert go_on(60) == ([FIRST], [], 3)
    assert go_on(30, known=())[0] == [FIRST]  # an older version kept none


def test_more_steps_begin_a_cosine_where_the_rate_stood():
    (first, new), lines, stale = go_on(30, steps=100)
    assert first == FIRST and stale == 0
    assert new == Segment(30, 100, FIRST(29), 10, FIRST(29))
    assert lines == [
        "from step 30 a new cosine over 70 more steps to 100, at learning rate 0.000772, where the "
        "last one ended"
    ]
    assert go_on(30, [first, new], saved={"steps": 100}, steps=100) == ([first, new], [], 3)


def test_a_finished_run_goes_on_and_a_low_rate_is_said():
    (_, new), lines, _ = go_on(60, [Segment(0, 60, 1e-3)], steps=120)
    assert new.rate == Segment(0, 60, 1e-3)(59) and len(lines) == 2
    assert lines[1] == (
        "warning: at learning rate 6.85e-07 the run will learn next to nothing (it had 0.001): "
        "--config.learning_rate=0.00025, for example, starts the new cosine higher"
    )


def test_epochs_count_as_steps():
    (_, new), _, _ = go_on(60, saved={"steps": 0, "epochs": 3}, steps=0, epochs=5)
    assert (new.begin, new.end) == (60, 100)


@pytest.mark.parametrize(
    "values", [{"learning_rate": 2e-4, "saved": {}}, {"saved": {"learning_rate": 5e-3}}]
)
def test_another_rate_is_reached_from_the_one_before(values):
    (_, new), lines, _ = go_on(30, [Segment(0, 60, 5e-3, 10)], **values)
    rate = values.get("learning_rate", 1e-3)
    assert new == Segment(30, 60, rate, 10, Segment(0, 60, 5e-3, 10)(29))
    assert lines[0].endswith(", as given; the first 10 warm up from 0.00386")


def test_the_rate_of_before_begins_anew_where_the_command_names_it():
    (_, new), lines, _ = go_on(60, [FIRST], steps=120, given=("learning_rate",))
    assert new.rate == FIRST(59)  # it is the segment's own: nothing new is asked for
    low = Segment(60, 120, 1e-6)
    (*_, new), lines, _ = go_on(80, [FIRST, low], {"steps": 120}, ("learning_rate",), steps=120)
    assert new == Segment(80, 120, 1e-3, 10, low(79)) and "as given" in lines[0]


def test_within_its_warmup_a_run_keeps_the_rate_that_it_is_on_the_way_to():
    (_, new), (line,), _ = go_on(5, steps=100)
    assert new == Segment(5, 100, 1e-3, 10, FIRST(4))
    assert ", which the last one was warming up to; the first 10 warm up from 0.0004" in line


def test_a_segment_without_an_update_is_left_out():
    assert go_on(0, steps=100)[0] == [Segment(0, 100, 1e-3, 10)]
    (_, new), _, _ = go_on(
        60, [FIRST, Segment(60, 90, 1e-6)], {"steps": 90}, steps=100, learning_rate=1e-4
    )
    assert (new.begin, new.end, new.rate) == (60, 100, 1e-4)


@pytest.mark.parametrize(
    ("step", "values", "message"),
    [
        (60, {"learning_rate": 1e-4}, "the run finished at step 60: .*--config.steps=120"),
        (
            40,
            {"steps": 30},
            "config.steps=30: the run is already at step 40.*--config.steps=60",
        ),
        (
            40,
            {"steps": 0, "epochs": 2},
            r"config.epochs=2 \(40 steps\): the run is already at step 40",
        ),
    ],
)
def test_nothing_left_to_do_is_refused(step, values, message):
    with pytest.raises(UserError, match=message):
        go_on(step, **values)
