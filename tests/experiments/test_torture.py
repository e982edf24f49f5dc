"""Every rule can be broken, trials are reproducible, and one trial of each kind finds nothing."""

import dataclasses
import random
import signal

import pytest

from experiments.torture import __main__ as torture
from experiments.torture import damage, pickled
from experiments.torture.commands import Outcome
from experiments.torture.judge import Failure, judge, require_message, require_refused
from experiments.torture.kinds import KINDS
from experiments.torture.report import Report
from experiments.torture.trial import Trial

GOOD = Outcome("python -m ppocr_jax.evaluate", 0, '{"hmean": 1}', "role: hash 12ab\n", 1.0, 200.0)
REFUSED = dataclasses.replace(
    GOOD, status=2, out="", err="x.onnx: note\nerror: x.onnx: cut short\n"
)


def judged(outcome, **changes):
    judge(dataclasses.replace(outcome, **changes), "train", limit=20.0, most_mb=1000.0)


def test_a_good_end_and_a_refusal_pass():
    judged(GOOD)
    judged(REFUSED)
    judge(dataclasses.replace(GOOD, status=130, err=""), "train", 20.0, 1000.0, signals=(2,))


@pytest.mark.parametrize(
    "changes",
    [
        dict(status=None),
        dict(status=-11),
        dict(status=130),
        dict(peak_mb=1001.0),
        dict(err=""),
        dict(status=0),
        dict(err="error: one\nerror: two\n"),
        dict(err="error: one\nand then more\n"),
        dict(err='Traceback (most recent call last):\n  File "x"\nKeyError\nerror: one\n'),
        dict(err="error: \x1b[31mred\n"),
        dict(left=("process 7",)),
    ],
)
def test_every_rule_can_be_broken(changes):
    with pytest.raises(Failure):
        judged(REFUSED, **changes)


@pytest.mark.parametrize(
    ("printed", "is_fine"),
    [
        ("evaluated student at step 0: hmean 0.0\nstep ready in 2.1 s: traced in 2.0 s\n", True),
        ("step 1/16 epoch 1 rate 0.001: total 4.9\n", False),
        ("step 16/16 epoch 1 rate 0.001: total 4.9\ndone: 16 steps, best hmean 0.0\n", True),
    ],
)
def test_a_signal_may_end_a_run_that_has_no_work_to_lose(printed, is_fine):
    died = dataclasses.replace(GOOD, status=-signal.SIGHUP, err=printed)
    if is_fine:
        judge(died, "train", 10, 300, [signal.SIGHUP])
    else:
        with pytest.raises(Failure, match="ended by a signal"):
            judge(died, "train", 10, 300, [signal.SIGHUP])


def test_silently_wrong_results_are_a_failure():
    other = dataclasses.replace(GOOD, out='{"hmean": 0}')
    with pytest.raises(Failure, match="SILENT"):
        require_message(other, GOOD, lambda outcome: outcome.out)
    said = dataclasses.replace(other, err="role: hash 77ff\nwarning: fell back\n")
    require_message(said, GOOD, lambda outcome: outcome.out)
    same_form = dataclasses.replace(other, err="role: hash 77ff\n")
    with pytest.raises(Failure, match="SILENT"):
        require_message(same_form, GOOD, lambda outcome: outcome.out)


def test_a_refusal_names_what_it_refuses():
    require_refused(REFUSED, "y.onnx", "x.onnx")
    for outcome, name in ((GOOD, "x.onnx"), (REFUSED, "other.onnx")):
        with pytest.raises(Failure):
            require_refused(outcome, name)


def test_the_same_seed_damages_in_the_same_way(tmp_path):
    def damaged(seed):
        trial = Trial(seed, "any", 3, tmp_path / str(random.random()), valid=None, server=None)
        path = trial.write("file", bytes(100))
        return damage.flip_bit(trial.rng, path), path.read_bytes(), pickled.laughs(trial.rng)

    assert damaged(1) == damaged(1) != damaged(2)
    assert damaged(1)[1] != bytes(100)


def test_the_table_counts_and_keeps_the_smallest_input(tmp_path):
    report = Report(["a", "b"], least=2, output=tmp_path / "out")
    for number, size in enumerate((30, 10, 20)):
        trial = Trial(0, "a", number, tmp_path / f"t{number}", valid=None, server=None)
        trial.write("x.bin", bytes(size))
        report.add("a", number, trial, "reason one" if size < 30 else None, 1.0)
    rows = list(report.table())
    assert rows[2].startswith("| a | 3 | 2 | 1.0 | 0.0 | reason one |")
    assert "(too few)" in rows[3] and report.status() == 1
    assert (tmp_path / "out/a/input.bin").stat().st_size == 10


PAIRS = ("hosts-differ", "host-dies")  # a minute each: the processes of a pair have to compile


def test_one_trial_of_every_other_kind(tmp_path, capfd):
    """With a fixed seed, so that a failure can be repeated; failing inputs are kept."""
    kinds = [kind for kind in KINDS if kind not in PAIRS]
    argv = ["--minutes", "4", "--rounds", "1", "--least", "1", "--seed", "1", "--kinds", *kinds]
    status = torture.main([*argv, "--output", str(tmp_path / "failed")])
    out, err = capfd.readouterr()
    assert status == 0, err[-6000:] + out[-6000:]
    assert out.count("| 1 | 0 |") == len(kinds)
