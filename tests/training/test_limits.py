"""What ends a run early: evaluations without gain, and its time."""

import ml_collections

from ppocr_jax.training.limits import Ending, Limits
from ppocr_jax.training.progress import Progress


def a_config(patience=2, min_gain=0.0, min_steps=0, minutes=0.0):
    limits = dict(patience=patience, patience_min_gain=min_gain, patience_min_steps=min_steps)
    return ml_collections.ConfigDict({"eval": limits, "time_limit_minutes": minutes})


def end_of(scores, **values):
    """The step of the first evaluation, one every 10 updates, at which a run ends; None: none."""
    config, progress = a_config(**values), Progress()
    limits = Limits(config, progress)
    for progress.step, hmean in enumerate(scores):
        progress.step *= 10
        scored = {"student": {"hmean": hmean}}
        progress.note_evaluation(scored, "student", config.eval.patience_min_gain)
        if limits.reached(progress, False).why:
            return progress.step
    return None


def test_patience_counts_evaluations_without_gain():
    assert end_of([0.5, 0.4, 0.6, 0.6, 0.5, 0.7]) == 40  # the second without a gain over 0.6
    assert end_of([0.5, 0.4, 0.6, 0.6, 0.7]) is None
    assert end_of([0.5, 0.4, 0.3, 0.2], patience=0) is None
    assert end_of([0.0, 0.0, float("nan")]) == 20


def test_a_gain_has_a_minimum():
    slow = [0.5, 0.502, 0.504, 0.506, 0.508]
    assert end_of(slow) is None
    assert end_of(slow, min_gain=0.01) == 20
    assert end_of(slow, min_gain=0.0035) is None  # 0.504 is that much over 0.5, 0.508 over 0.504


def test_patience_begins_after_its_minimum_of_steps():
    assert end_of([0.5, 0.4, 0.3, 0.2, 0.1], min_steps=35) == 40


def test_the_line_says_what_was_reached():
    progress = Progress(step=30, stale=2, evaluated_step=30, gain={"hmean": 0.5, "step": 10})
    why, remedy = Limits(a_config(min_gain=0.01), progress).reached(progress, False)
    assert why == (
        "no gain of more than 0.01 over hmean 0.5000 of step 10 in 2 evaluations (eval.patience=2)"
    )
    assert remedy == "--config.eval.patience=0"
    progress.step = 31  # an update later nothing was scored yet
    assert Limits(a_config(), progress).reached(progress, False) == Ending()


def test_more_patience_than_evaluations_is_said():
    (line,) = Limits(a_config(patience=5), Progress()).describe(4)
    assert line.startswith("warning: eval.patience=5 has no effect with only 4 evaluations to come")
    assert "only 1 evaluation to come" in Limits(a_config(patience=5), Progress()).describe(1)[0]
    assert Limits(a_config(patience=4), Progress()).describe(4) == []


def test_the_time_of_all_starts_counts():
    now, progress = [1000.0], Progress(seconds=50.0)
    limits = Limits(a_config(minutes=2.0), progress, lambda: now[0])
    assert limits.seconds == 50 and not limits.is_up(limits.seconds)
    now[0] += 69
    assert not limits.is_up(limits.seconds)
    now[0] += 1
    assert limits.is_up(limits.seconds) and limits.seconds == 120
    assert limits.describe(9) == [
        "ends after 2 minutes, of which 2.0 are used (time_limit_minutes)"
    ]
    assert limits.reached(progress, True).remedy == "--config.time_limit_minutes=4"
    assert not Limits(a_config(), Progress()).is_up(1e9)  # 0: no limit
