"""What a run says of the time and the memory that it will take."""

from types import SimpleNamespace

import pytest
from tiny import draw_data, load_config, write_config

from ppocr_jax.data.compact import most_bytes
from ppocr_jax.data.pipeline import Supply
from ppocr_jax.optim.schedule import Segment, first_segment
from ppocr_jax.training import forecast
from ppocr_jax.training.forecast import (
    Forecast,
    batches_bytes,
    describe_course,
    describe_memory,
    describe_time,
)

SCORED = {"student": {"images": 10, "images_per_s": 0.5}}


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("PPOCR_JAX_CACHE", str(tmp_path / "cache"))
    return load_config(write_config(tmp_path, draw_data(tmp_path / "data", train=4, val=1)))


def start(config, lines):
    return Forecast(config, SimpleNamespace(size=1), SimpleNamespace(say=lines.append))


def test_what_one_run_measures_the_next_expects(config):
    lines = []
    first = start(config, lines)
    first.begin(steps=300, evaluations=3, images=10)
    assert "will be known after the first updates" in lines.pop()
    first.measured(2.0, 290, 2, SCORED)
    assert lines.pop() == (
        "about 10 min to go: 290 steps of 2 s and 2 evaluations of 20 s, as measured"
    )
    first.measured(9.0, 280, 2, SCORED)  # said once
    first.measured(2.0, 270, 2, SCORED)
    first.keep()
    config.learning_rate, config.steps, config.data.val = 0.5, 77, "train.txt"  # no other program
    second = start(config, lines)
    second.begin(77, 1, 10)
    assert lines.pop() == (
        "about 3 min to go: 77 steps of 2 s and 1 evaluation of 20 s, as measured last time"
    )
    second.measured(2.1, 70, 1, SCORED)
    assert not lines
    third = start(config, lines)
    third.measured(5.0, 70, 0, SCORED)
    assert lines.pop().endswith("70 steps of 5 s, as measured, which differs from last time")
    config.crop = 96
    start(config, lines).begin(77, 1, 10)
    assert "was timed on this machine yet" in lines.pop()


def test_without_an_evaluation_its_time_is_not_known(config):
    lines = []
    run = start(config, lines)
    run.begin(0, 0, 10)
    assert not lines
    run.measured(1.0, 10, 2, {})
    assert lines == ["about 10 s to go: 10 steps of 1 s, not counting 2 evaluations, as measured"]


def test_memory_is_held_against_what_there_is(config, monkeypatch):
    sizes = SimpleNamespace(temp_size_in_bytes=600 << 20, argument_size_in_bytes=100 << 20)
    compiled = SimpleNamespace(memory_analysis=lambda: sizes)
    monkeypatch.setattr(forecast, "free_memory", lambda: 2 << 30)
    cpu = SimpleNamespace(memory_stats=lambda: None)
    line, warning = describe_memory(config, compiled, cpu, Supply())
    assert "needs 700 MiB by the compiler's figure" in line and "of 2.0 GiB free" in line
    assert warning == ""
    monkeypatch.setattr(forecast, "free_memory", lambda: 500 << 20)
    line, warning = describe_memory(config, compiled, cpu, Supply())
    assert warning.startswith("warning: an update needs more memory than is free on this machine")
    gpu = SimpleNamespace(memory_stats=lambda: {"bytes_limit": 590 << 20, "bytes_in_use": 0})
    line, warning = describe_memory(config, compiled, gpu, Supply())
    assert "needs 700 MiB on each device by the compiler's figure, of 690 MiB" in line
    assert "free on the device" in warning
    held = batches_bytes(config, Supply(2)) - batches_bytes(config, Supply())
    assert held == 2 * (forecast.WORKER_BYTES + most_bytes(config.batch_size, config.crop))


def test_the_course_of_the_rate(config):
    lines = list(describe_course(first_segment(config, 8, 4), config))
    assert lines == [
        "learning rate warms up from 0 to 0.001 over 2 steps, then decays along a cosine; 8 steps "
        "in all"
    ]
    config.warmup_epochs = 2.0
    _, warning = describe_course(first_segment(config, 8, 4), config)
    assert warning.startswith("warning: the warm-up takes 8 steps and the run has 8")
    assert "shorten warmup_epochs=2," in warning
    config.warmup_steps = 9
    _, warning = describe_course(first_segment(config, 8, 4), config)
    assert "shorten warmup_steps=9," in warning


def test_the_course_of_a_run_that_goes_on(config):
    later = Segment(begin=8, end=24, rate=1e-2, warmup=4, start=2e-3)
    assert list(describe_course(later, config, 8)) == []  # said where it was made
    (line,) = describe_course(later, config, 10)
    assert line == (
        "learning rate 0.006, in a cosine that started at step 8, peaks with 0.01 at step 12 and "
        "ends at 24"
    )
    assert list(describe_course(later, config, 24)) == []


@pytest.mark.parametrize(("seconds", "words"), [(40, "40 s"), (840, "14 min"), (11520, "3.2 h")])
def test_times_have_a_fitting_unit(seconds, words):
    assert describe_time(seconds) == words
