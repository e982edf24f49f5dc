"""The window of losses and the clock."""

import threading

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


def update(meter, now, step, seconds, total=1.0):
    """One that the host waits for, as on CPU."""
    meter.send()
    now[0] += seconds
    meter.add(step, {"total": total}, 1, [])


def test_means_over_all_updates_and_speed_over_those_that_were_timed(now):
    meter = make_meter([(1, {"total": 4.0}, 2)])  # seen before the run was stopped
    for step in (2, 3):
        update(meter, now, step, 0.5)
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
    update(meter, now, 1, 1.0)
    meter.settle()
    now[0] += 50.0  # an evaluation
    meter.clock.skip()
    update(meter, now, 2, 1.0)
    meter.settle()
    figures = meter.take(batch_size=1)[1]
    assert figures["images_per_s"] == 1.0 and figures["waiting_share"] == 0.0


def test_waiting_is_a_share_of_the_time(now):
    meter = make_meter()
    for step in range(2):
        now[0] += 3.0  # until a batch is there
        update(meter, now, step, 1.0)
    meter.settle()
    assert meter.take(batch_size=1)[1]["waiting_share"] == 6 / 8


class Loss:
    """A loss that is on the device until it is set."""

    def __init__(self):
        self.there = threading.Event()

    def is_ready(self):
        return self.there.is_set()

    def block_until_ready(self):
        self.there.wait(10)
        return self

    def __float__(self):
        return 1.0


def finish(meter, loss):
    """Ends the update of a loss, and waits until that is noted."""
    loss.there.set()
    assert all(sent.done.wait(10) for sent in meter._inflight if sent.metrics["total"] is loss)


def test_a_device_is_idle_from_the_end_of_an_update_to_the_next_whenever_they_are_looked_at(now):
    losses = [Loss() for _ in range(3)]
    with make_meter() as meter:
        meter.send()
        meter.add(1, {"total": losses[0]}, 0, [])
        now[0] += 2.0
        meter.send()  # while the first one runs: nothing is lost
        assert not meter.is_idle
        finish(meter, losses[0])
        meter.add(2, {"total": losses[1]}, 0, [])
        now[0] += 3.0
        finish(meter, losses[1])
        now[0] += 4.0  # the host is late
        meter.send()
        now[0] += 1.0
        losses[2].there.set()
        meter.add(3, {"total": losses[2]}, 0, [])
        meter.settle()
        assert meter.is_idle
        now[0] += 90.0  # as late as it may be
        figures = meter.take(batch_size=2)[1]
    assert figures["waiting_share"] == 4 / 10 and figures["seconds_per_step"] == 10 / 3
    assert figures["images_per_s"] == 3 * 2 / 10


def test_a_record_ends_with_its_last_update(now):
    """Another may run by then; a gap is of the record with the update behind it."""
    loss = Loss()
    with make_meter() as meter:
        update(meter, now, 1, 2.0)
        now[0] += 2.0
        meter.send()
        meter.add(2, {"total": loss}, 0, [])
        now[0] += 1.0
        first = meter.take(batch_size=1)[1]
        finish(meter, loss)
        meter.settle()
        second = meter.take(batch_size=1)[1]
    assert (first["waiting_share"], first["images_per_s"]) == (0.0, 0.5)
    assert (second["waiting_share"], second["images_per_s"]) == (2 / 3, 1 / 3)


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
