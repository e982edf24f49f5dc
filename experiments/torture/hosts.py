"""Trials with two processes of one run: they differ, one dies, or they cannot connect."""

import pathlib
import shutil
import signal
from collections.abc import Callable

from experiments.torture.commands import Running
from experiments.torture.judge import MORE_SECONDS, require
from experiments.torture.runs import result_of
from experiments.torture.trial import Trial
from experiments.torture.valid import free_port, steps_of

TOGETHER = 30.0  # seconds within which both processes must end
MEETING = 60.0  # seconds that a process waits for another one to connect
SLOWER = (
    4.0  # times a single process: a pair compiles everything, while the other lanes compile too
)


def _start(trial: Trial, workdir: pathlib.Path, *each: tuple[str, ...]) -> list[Running]:
    """Starts the processes of a short run, each with its own additional arguments."""
    port = free_port()
    return [
        trial.start("train", *trial.valid.short(workdir), *more, "--num_processes=2",
                    f"--coordinator_address=localhost:{port}", f"--process_id={number}")
        for number, more in enumerate(each)
    ]  # fmt: skip


def _labels(trial: Trial, change: Callable[[str], str]) -> tuple[str, ...]:
    """An option for a copy of the data with changed training labels."""
    root = trial.folder / "data"
    if not root.exists():
        shutil.copytree(trial.valid.path("data"), root)
    path = root / "train.txt"
    path.write_text(change(path.read_text()))
    return (f"--config.data.root={root}",)


EQUAL = ("nothing", "workers")  # keys of DIFFERENCES that are allowed
DIFFERENCES: dict[str, Callable[[Trial], tuple[str, ...]]] = {
    "nothing": lambda trial: (),
    "workers": lambda trial: ("--config.data.workers=1",),
    "rate": lambda trial: ("--config.learning_rate=0.0011",),
    "steps": lambda trial: ("--config.steps=18",),
    "seed": lambda trial: ("--config.seed=7",),
    "batch": lambda trial: ("--config.batch_size=8",),
    "crop": lambda trial: ("--config.crop=96",),
    "l2": lambda trial: ("--config.optimizer.l2=0.001",),
    "saves": lambda trial: ("--config.save.every_steps=3",),
    "evaluations": lambda trial: ("--config.eval.every_steps=4",),
    "missing root": lambda trial: ("--config.data.root=/nowhere/at/all",),
    "label order": lambda trial: _labels(
        trial, lambda text: "".join(reversed(text.splitlines(keepends=True)))
    ),
    "one label": lambda trial: _labels(trial, lambda text: text.replace("w0", "###", 1)),
    "one point": lambda trial: _labels(trial, lambda text: text.replace("[[", "[[1", 1)),
    "validation": lambda trial: ("--config.data.val=train.txt",),
    "augmentation": lambda trial: ("--config.data.augment.flip=0.25",),
}


def differing(trial: Trial) -> None:
    """Processes whose settings or labels differ end at once and tell what differs."""
    name = trial.rng.choice(list(DIFFERENCES))
    each: list[tuple[str, ...]] = [(), DIFFERENCES[name](trial)]
    if trial.rng.random() < 0.5:
        each.reverse()
    trial.note = f"{name} differs"
    started = _start(trial, trial.folder / "run", *each)
    usual = SLOWER * trial.valid.needs["pair"][0] + MORE_SECONDS if name in EQUAL else TOGETHER
    outcomes = [trial.finish(running, "train", within=usual) for running in started]
    if name in EQUAL:
        wrong = [outcome.errors for outcome in outcomes if outcome.status]
        require(not wrong, f"refused: {wrong}")
        return
    for outcome in outcomes:
        require(outcome.status, f"status 0 although {name} differs")
    require(any(outcome.errors for outcome in outcomes), "no process tells what differs")


def one_dies(trial: Trial) -> None:
    """If one process dies, the other one ends soon and says so; the same commands then resume."""
    workdir, victim = trial.folder / "run", trial.rng.randrange(2)
    number = trial.rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGABRT])
    after = trial.rng.choice([*[0] * 8, 2, 6])  # steps; waiting for a step costs ten times as much
    trial.note = f"{number.name} to process {victim} after step {after}"
    started = _start(trial, workdir, (), ())
    if after:
        started[0].until(lambda: steps_of(workdir)[-1:] >= [after])
    else:
        started[victim].until(lambda: False, trial.rng.uniform(0.2, 3))
    over = started[victim].ended()
    started[victim].send(number)
    dead = trial.finish(started[victim], "train", judged=False)
    signals = (number,) if number == signal.SIGTERM else ()  # then both stop in order
    # A process that dies early may not have connected yet; the other one then waits for it.
    within = TOGETHER if after else MEETING + MORE_SECONDS
    other = trial.finish(started[1 - victim], "train", signals, within)
    require(over or dead.status == 0 or other.status, "the other process goes on alone")
    if after and trial.rng.random() < 0.5:
        _resumes(trial, workdir)


def _resumes(trial: Trial, workdir: pathlib.Path) -> None:
    """The same commands resume, and end like an undisturbed pair."""
    usual = SLOWER * trial.valid.needs["pair"][0] + MORE_SECONDS
    again = [
        trial.finish(running, "train", within=usual) for running in _start(trial, workdir, (), ())
    ]
    wrong = [outcome.errors for outcome in again if outcome.status]
    require(not wrong, f"does not resume: {wrong}")
    good = result_of(trial.valid.path("pair"))
    require(
        result_of(workdir)[:2] == good[:2],
        "SILENT: the last checkpoint is not that of an undisturbed pair",
    )


def no_meeting(trial: Trial) -> None:
    """An invalid address or invalid process numbers are refused with one line."""
    trial.note, address, count, number = trial.rng.choice([
        ("no port", "abc", 2, 0),
        ("port too large", "localhost:99999", 2, 0),
        ("port is no number", "localhost:http", 2, 1),
        ("empty host", f":{free_port()}", 2, 5),
        ("process -1", f"localhost:{free_port()}", 2, -1),
        ("process 2 of 2", f"localhost:{free_port()}", 2, 2),
        ("0 processes", f"localhost:{free_port()}", 0, 0),
        ("no such host", f"no-such-host.invalid:{free_port()}", 2, 1),
    ])  # fmt: skip
    argv = (
        f"--coordinator_address={address}",
        f"--num_processes={count}",
        f"--process_id={number}",
    )
    workdir = trial.folder / "run"
    outcome = trial.finish(trial.start("train", *trial.valid.short(workdir), *argv), "train")
    require(outcome.status, "status 0")
