"""Trials with kills and signals at any time, two runs in one folder, and folders that disappear."""

import pathlib
import shutil
import signal
import time
from collections.abc import Callable, Sequence

from experiments.torture.commands import Outcome, Running
from experiments.torture.judge import MORE_SECONDS, require
from experiments.torture.runs import same_end
from experiments.torture.trial import Trial
from experiments.torture.valid import steps_of

GRACE = 8.0  # seconds after a command's end in which its workers and shared memory must be gone


def _disturb(
    trial: Trial,
    workdir: pathlib.Path,
    disturb: Callable[[Running], object],
    signals: Sequence[int] = (),
    workers: int = 0,
    judged: bool = True,
    fresh: bool = False,
) -> Outcome:
    """Starts a short run, disturbs it, and waits for its end.

    Args:
        trial: the trial.
        workdir: of the run.
        disturb: is called with the running command.
        signals, judged: see `Trial.finish`.
        workers: number of worker processes.
        fresh: see `Server.start`.
    """
    argv = trial.valid.short(workdir, f"--config.data.workers={workers}")
    running = trial.start("train", *argv, fresh=fresh)
    disturb(running)
    return trial.finish(running, "train", signals, grace=GRACE, judged=judged)


def _at_random(trial: Trial, running: Running, workers: int = 0) -> None:
    """Waits until a random moment between the start of the run and about its end."""
    seconds = trial.valid.needs["train"][0] * (1.5 if workers else 1.0)
    moment = trial.rng.uniform(0.1, seconds)
    until = time.monotonic() + moment

    def over():
        if workers:
            running.segments()  # remembers them, to check that they are gone afterwards
        return time.monotonic() > until

    running.until(over, moment + 1)
    trial.note += f" after {moment:.2f} s"


def _resumes(trial: Trial, workdir: pathlib.Path) -> None:
    """The same command resumes, and ends like an undisturbed run."""
    outcome = trial.run("train", *trial.valid.short(workdir), writes=(workdir,))
    require(outcome.status == 0, f"does not resume: {outcome.errors}")
    same_end(trial, workdir)


def _kill(trial: Trial, workers: int, moment: Callable[[Running], None]) -> None:
    """Kills a run at some moment; it must leave nothing behind and resume.

    Args:
        trial: the trial.
        workers: number of worker processes.
        moment: waits for the moment.
    """
    workdir = trial.folder / "run"
    trial.note = f"kill -9, {workers} workers,"

    def disturb(running):
        moment(running)
        running.segments()
        running.send(signal.SIGKILL)

    outcome = _disturb(trial, workdir, disturb, workers=workers, judged=False)
    require(not outcome.left, f"left behind: {', '.join(outcome.left[:3])}")
    _resumes(trial, workdir)


def killed(trial: Trial) -> None:
    """A run resumes after `kill -9` at any time."""
    _kill(trial, 0, lambda running: _at_random(trial, running))


def killed_with_workers(trial: Trial) -> None:
    """`kill -9` of a run with two workers leaves no processes and no shared memory behind."""
    _kill(trial, 2, lambda running: _at_random(trial, running, 2))


def killed_while_saving(trial: Trial) -> None:
    """A run resumes after `kill -9` while a checkpoint is being written."""
    number = trial.rng.randrange(1, 8)

    def moment(running):
        folder = trial.folder / "run" / "checkpoints"
        seen = set()

        def saving():
            if folder.is_dir():
                seen.update(path.name for path in folder.iterdir() if not path.name.isdigit())
            return len(seen) >= number

        running.until(saving, 60)
        time.sleep(trial.rng.uniform(0, 0.03))
        trial.note += f" in save {number}"

    _kill(trial, 0, moment)


def signalled(trial: Trial) -> None:
    """SIGTERM, SIGINT or SIGHUP gives the right status and one line; the run then resumes."""
    number = trial.rng.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    workers = trial.rng.choice([0, 0, 2])
    everybody = number == signal.SIGINT and trial.rng.random() < 0.5
    trial.note = f"{number.name}, {workers} workers, {'all' if everybody else 'one'},"
    workdir = trial.folder / "run"

    def disturb(running):
        _at_random(trial, running, workers)
        running.send(number, everybody)

    outcome = _disturb(trial, workdir, disturb, (number,), workers)
    # Before the program's first line there can be no handler: then it may simply die of the signal.
    require(outcome.status != 0 or "done:" in outcome.err, "status 0 although it was stopped")
    _resumes(trial, workdir)


def interrupted_early(trial: Trial) -> None:
    """SIGINT while modules are imported or programs compiled gives one line and status 130."""
    command = trial.rng.choice(["train", "evaluate", "predict", "extract", "export", "check_data"])
    workdir, output = trial.folder / "run", trial.folder / "out"
    weights = trial.valid.path("net.pdparams")
    argv = {
        "train": trial.valid.short(workdir),
        "evaluate": trial.valid.evaluating(weights),
        "predict": trial.valid.predicting(weights, trial.valid.path("data"), output),
        "extract": ("--weights", weights, "--role", "student", "--output", output),
        "export": (
            "--config", trial.valid.config, "--weights", weights, "--output", f"{output}.onnx",
        ),
        "check_data": ("--config", trial.valid.config),
    }[command]  # fmt: skip
    running = trial.start(command, *argv, fresh=True)
    moment = trial.rng.uniform(0, trial.valid.needs[command][0])
    trial.note = f"SIGINT to {command}, {moment:.2f} s after its first library"
    running.until(lambda: running.has_mapped("numpy"))  # until then Python itself is starting
    running.until(lambda: False, moment)
    over = running.ended()
    running.send(signal.SIGINT, everybody=True)
    outcome = trial.finish(running, command, (signal.SIGINT,), grace=GRACE)
    require(over or outcome.status in (0, 130), f"status {outcome.status}")
    require(len(outcome.lines) > 0 or outcome.status == 0, "ends without a message")


def two_runs(trial: Trial) -> None:
    """A second run in the same workdir ends with one line; the first is not disturbed."""
    workdir = trial.folder / "run"
    first = trial.start("train", *trial.valid.short(workdir))
    moment = trial.rng.uniform(0.3, trial.valid.needs["train"][0])
    first.until(lambda: bool(steps_of(workdir)) and trial.rng.random() < 0.05, moment)
    second = trial.start("train", *trial.valid.short(workdir))
    trial.note = "a second run"
    outcome = trial.finish(second, "train", judged=False)
    trial.finish(first, "train")
    late = outcome.status == 0 and "continuing from step 16" in outcome.err
    if not late:  # the second one looked before the first had ended
        trial.outcomes.remove(outcome)
        trial.outcomes.append(outcome)
        require(outcome.status not in (0, None) or _began_after(outcome), "both ran in one folder")
    same_end(trial, workdir)
    if outcome.status:
        require(len(outcome.errors) == 1, f"{len(outcome.errors)} lines `error:`")
        require("Traceback" not in outcome.err, "Traceback in the second run")
        require("disk space" not in outcome.errors[0], f"wrong advice: {outcome.errors[0]}")


def _began_after(outcome: Outcome) -> bool:
    """Whether a run resumed from a checkpoint of the other one."""
    return "continuing from step" in outcome.err


def read_while_training(trial: Trial) -> None:
    """A workdir can be evaluated while a run saves and deletes checkpoints in it."""
    workdir = trial.folder / "run"
    trial.note = "evaluated while it trains"
    more = ("--config.eval.every_steps=2", "--config.save.every_steps=1")
    training = trial.start("train", *trial.valid.short(workdir, *more))
    training.until(lambda: bool(list(workdir.glob("checkpoints/*/metrics"))))
    which = trial.rng.choice([workdir, workdir / "latest"])
    trial.finish(trial.start("evaluate", *trial.valid.evaluating(which)), "evaluate")
    trial.finish(training, "train", within=2 * MORE_SECONDS)


def workdir_gone(trial: Trial) -> None:
    """If the workdir is deleted or moved, its run ends with one line and does not recreate it."""
    workdir, place = trial.folder / "in" / "run", trial.folder / "in"
    place.mkdir()
    way = trial.rng.choice(["deleted", "moved", "checkpoints deleted"])
    wait_for = trial.rng.randrange(1, 5)
    trial.note = f"{way} after {wait_for} states"

    def disturb(running):
        running.until(lambda: len(steps_of(workdir)) >= min(wait_for, 2))
        gone = workdir / "checkpoints" if way == "checkpoints deleted" else workdir
        gone.rename(
            trial.folder / "elsewhere"
        )  # a rename is atomic; deleting takes time and may overlap with a save
        if way != "moved":
            shutil.rmtree(trial.folder / "elsewhere", ignore_errors=True)

    outcome = _disturb(trial, workdir, disturb)
    if (
        outcome.status == 0
        and "done:" in outcome.err
        and steps_of(trial.folder / "elsewhere")[-1:] == [16]
    ):
        return  # it had finished before its folder was moved
    require(outcome.status == 2, f"status {outcome.status} although its folder is gone")
    require(str(workdir) in outcome.errors[0], f"does not name it: {outcome.errors[0]}")
    require(way == "checkpoints deleted" or not steps_of(workdir), "recreated its folder")
