"""What is due at a step: a table."""

import ml_collections
import pytest

from ppocr_jax.training.cadence import Cadence, Due

RUN = Cadence(total_steps=20, record_every=4, evaluate_every=6, save_every=5)
REST = Cadence(total_steps=7, record_every=100)  # nothing but the end


@pytest.mark.parametrize(
    ("cadence", "step", "stopping", "due"),
    [
        (RUN, 1, False, ""),
        (RUN, 4, False, "record"),
        (RUN, 5, False, "save"),
        (RUN, 6, False, "evaluate save"),
        (RUN, 12, False, "record evaluate save"),
        (RUN, 20, False, "record evaluate save"),  # the end, whatever the intervals say
        (RUN, 3, True, "save stop"),
        (RUN, 4, True, "record save stop"),
        (RUN, 6, True, "save stop"),  # the evaluation is made up for when the run continues
        (RUN, 20, True, "record save"),  # done anyway, but for its evaluation
        (REST, 6, False, ""),
        (REST, 7, False, "record evaluate save"),
    ],
)
def test_what_is_due(cadence, step, stopping, due):
    assert cadence(step, stopping) == Due(*(name in due.split() for name in Due._fields))


def test_a_run_whose_time_is_up_is_scored_and_saved():
    assert RUN(3, ending=True) == Due(record=False, evaluate=True, save=True, stop=False)
    assert not RUN(3, stopping=True, ending=True).evaluate  # whoever sends a signal does not wait


@pytest.mark.parametrize(("done", "count"), [(0, 4), (6, 3), (18, 1), (19, 1), (20, 0)])
def test_evaluations_to_come(done, count):
    assert RUN.evaluations_after(done) == count  # at 6, 12, 18 and 20


@pytest.mark.parametrize(("epochs", "every"), [(0, 30), (2, 14)])
def test_epochs_go_before_steps(epochs, every):
    config = ml_collections.ConfigDict({
        "eval": {"every_steps": 30, "every_epochs": epochs},
        "save": {"every_steps": 9},
        "log": {"every_steps": 3},
    })  # fmt: skip
    assert Cadence.of(config, 100, epoch_steps=7) == Cadence(100, 3, every, 9)
