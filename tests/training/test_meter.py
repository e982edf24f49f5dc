"""The window of losses and the clock."""

import pytest

from ppocr_jax.errors import UserError
from ppocr_jax.training import meter as module
from ppocr_jax.training.meter import Clock, Meter


@pytest.fixture
def now(monkeypatch):
    """A clock that the test sets: `now[0]`, seconds."""
    seconds = [100.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: seconds[0])
    return seconds


def make_meter(window=None):
    return Meter(
        [] if window is None else window, Clock(), lambda step, records: f"files {records}"
    )


def test_means_over_all_updates_and_speed_over_those_that_were_timed(now):
    meter = make_meter([(1, {"total": 4.0}, 2)])  # seen before the run was stopped
    for step, total in ((2, 1.0), (3, 1.0)):
        now[0] += 0.5
        meter.add(step, {"total": total}, 1, [])
    meter.settle()
    losses, figures = meter.take(batch_size=4)
    assert losses == {"total": 2.0}
    assert figures == {
        "images_per_s": 8.0,
        "waiting_share": 0.0,
        "textless_share": 4 / 12,
        "seconds_per_step": 0.5,
    }
    assert meter.window == [] and meter.crops == (12, 4)


def test_evaluating_and_saving_take_no_time(now):
    meter = make_meter()
    now[0] += 1.0
    meter.add(1, {"total": 1.0}, 0, [])
    meter.settle()
    now[0] += 50.0  # an evaluation
    meter.clock.skip()
    now[0] += 1.0
    meter.add(2, {"total": 1.0}, 0, [])
    meter.settle()
    assert meter.take(batch_size=1)[1]["images_per_s"] == 1.0


def test_waiting_is_a_share_of_the_time(now):
    def slow():
        for number in range(2):
            now[0] += 3.0
            yield number

    meter = make_meter()
    for number in meter.clock.waiting(slow()):
        now[0] += 1.0
        meter.add(number, {"total": 1.0}, 0, [])
    meter.settle()
    assert meter.take(batch_size=1)[1]["waiting_share"] == 6 / 8


def test_one_update_is_left_running():
    meter = make_meter()
    meter.add(1, {"total": 1.0}, 0, [])
    assert meter.window == []
    meter.add(2, {"total": 2.0}, 0, [])
    assert [step for step, _, _ in meter.window] == [1]


def test_what_is_not_finite_names_its_term_and_its_batch():
    meter = make_meter()
    losses = {"total": float("nan"), "db/student/shrink": float("inf"), "grad_norm": 1.0}
    meter.add(7, losses, 0, [3, 4])
    with pytest.raises(UserError, match=r"step 7: db/student/shrink is inf; files \[3, 4\]"):
        meter.settle()
    assert meter.window == []
