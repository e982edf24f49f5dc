"""Kills and signals at any time, two runs in one folder, and folders that go away."""

import shutil
import signal
import time

from experiments.torture.ground import steps_of
from experiments.torture.judge import MORE_SECONDS, require
from experiments.torture.runs import same_end

GRACE = 8.0  # seconds after its end in which everything of a command is gone


def _disturb(trial, workdir, disturb, signals=(), workers=0, judged=True, fresh=False):
    """Starts a short run, disturbs it, and waits for its end: its Outcome.

    Args:
        trial: Trial.
        workdir: of the run.
        disturb: `running -> None`.
        signals, judged: see `Trial.finish`.
        workers: processes that make its batches.
        fresh: see `Server.start`.
    """
    argv = trial.ground.short(workdir, f"--config.data.workers={workers}")
    running = trial.start("train", *argv, fresh=fresh)
    disturb(running)
    return trial.finish(running, "train", signals, grace=GRACE, judged=judged)


def _at_random(trial, running, workers=0):
    """Waits for a moment of the run, from its start to about its end."""
    seconds = trial.ground.needs["train"][0] * (1.5 if workers else 1.0)
    moment = trial.rng.uniform(0.1, seconds)
    until = time.monotonic() + moment

    def over():
        if workers:
            running.segments()  # remembered, to be looked for afterwards
        return time.monotonic() > until

    running.until(over, moment + 1)
    trial.note += f" after {moment:.2f} s"


def _goes_on(trial, workdir):
    """The same command goes on and ends as an undisturbed run does."""
    outcome = trial.run("train", *trial.ground.short(workdir), writes=(workdir,))
    require(outcome.status == 0, f"does not go on: {outcome.errors}")
    same_end(trial, workdir)


def _kill(trial, workers, moment):
    workdir = trial.folder / "run"
    trial.note = f"kill -9, {workers} workers,"

    def disturb(running):
        moment(running)
        running.segments()
        running.send(signal.SIGKILL)

    outcome = _disturb(trial, workdir, disturb, workers=workers, judged=False)
    require(not outcome.left, f"left behind: {', '.join(outcome.left[:3])}")
    _goes_on(trial, workdir)


def killed(trial):
    """kill -9 at any time loses nothing that was saved."""
    _kill(trial, 0, lambda running: _at_random(trial, running))


def killed_with_workers(trial):
    """kill -9 of a run with two workers leaves neither processes nor shared memory."""
    _kill(trial, 2, lambda running: _at_random(trial, running, 2))


def killed_while_saving(trial):
    """kill -9 while a state is being written."""
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


def signalled(trial):
    """SIGTERM, SIGINT and SIGHUP at any time: a fitting status, one line, and it goes on."""
    number = trial.rng.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    workers = trial.rng.choice([0, 0, 2])
    everybody = number == signal.SIGINT and trial.rng.random() < 0.5
    trial.note = f"{number.name}, {workers} workers, {'all' if everybody else 'one'},"
    workdir = trial.folder / "run"

    def disturb(running):
        _at_random(trial, running, workers)
        running.send(number, everybody)

    outcome = _disturb(trial, workdir, disturb, (number,), workers)
    # Before the first line of a program no handler can be there: the signal's own effect is right.
    require(outcome.status != 0 or "done:" in outcome.err, "status 0 though it was stopped")
    _goes_on(trial, workdir)


def interrupted_early(trial):
    """SIGINT while modules load or programs compile: one line, status 130."""
    command = trial.rng.choice(["train", "evaluate", "predict", "extract", "export", "check_data"])
    workdir, output = trial.folder / "run", trial.folder / "out"
    weights = trial.ground.path("net.pdparams")
    argv = {
        "train": trial.ground.short(workdir),
        "evaluate": trial.ground.evaluating(weights),
        "predict": trial.ground.predicting(weights, trial.ground.path("data"), output),
        "extract": ("--weights", weights, "--role", "student", "--output", output),
        "export": (
            "--config",
            trial.ground.config,
            "--weights",
            weights,
            "--output",
            f"{output}.onnx",
        ),
        "check_data": ("--config", trial.ground.config),
    }[command]
    running = trial.start(command, *argv, fresh=True)
    moment = trial.rng.uniform(0, trial.ground.needs[command][0])
    trial.note = f"SIGINT to {command}, {moment:.2f} s after its first library"
    running.until(lambda: running.has_mapped("numpy"))  # before, Python itself is still starting
    running.until(lambda: False, moment)
    over = running.ended()
    running.send(signal.SIGINT, everybody=True)
    outcome = trial.finish(running, command, (signal.SIGINT,), grace=GRACE)
    require(over or outcome.status in (0, 130), f"status {outcome.status}")
    require(len(outcome.lines) > 0 or outcome.status == 0, "ends without a word")


def two_runs(trial):
    """A second run in a workdir says in one line who holds it; the first is not disturbed."""
    workdir = trial.folder / "run"
    first = trial.start("train", *trial.ground.short(workdir))
    moment = trial.rng.uniform(0.3, trial.ground.needs["train"][0])
    first.until(lambda: bool(steps_of(workdir)) and trial.rng.random() < 0.05, moment)
    second = trial.start("train", *trial.ground.short(workdir))
    trial.note = "a second run"
    outcome = trial.finish(second, "train", judged=False)
    trial.finish(first, "train")
    late = outcome.status == 0 and "continuing from step 16" in outcome.err
    if not late:  # the first had ended before the second looked
        trial.outcomes.remove(outcome)
        trial.outcomes.append(outcome)
        require(outcome.status not in (0, None) or _began_after(outcome), "both ran in one folder")
    same_end(trial, workdir)
    if outcome.status:
        require(len(outcome.errors) == 1, f"{len(outcome.errors)} lines `error:`")
        require("Traceback" not in outcome.err, "Traceback in the second run")
        require("disk space" not in outcome.errors[0], f"wrong advice: {outcome.errors[0]}")


def _began_after(outcome):
    """Whether a run found another one's last state, not its first ones."""
    return "continuing from step" in outcome.err


def read_while_training(trial):
    """Commands that read a workdir bear that a run saves and prunes states meanwhile."""
    workdir = trial.folder / "run"
    trial.note = "evaluated while it trains"
    more = ("--config.eval.every_steps=2", "--config.save.every_steps=1")
    training = trial.start("train", *trial.ground.short(workdir, *more))
    training.until(lambda: bool(list(workdir.glob("checkpoints/*/metrics"))))
    which = trial.rng.choice([workdir, workdir / "latest"])
    trial.finish(trial.start("evaluate", *trial.ground.evaluating(which)), "evaluate")
    trial.finish(training, "train", within=2 * MORE_SECONDS)


def workdir_gone(trial):
    """A workdir that is deleted or moved while its run goes on: one line, and nothing elsewhere."""
    workdir, place = trial.folder / "in" / "run", trial.folder / "in"
    place.mkdir()
    way = trial.rng.choice(["deleted", "moved", "checkpoints deleted"])
    wait_for = trial.rng.randrange(1, 5)
    trial.note = f"{way} after {wait_for} states"

    def disturb(running):
        running.until(lambda: len(steps_of(workdir)) >= min(wait_for, 2))
        gone = workdir / "checkpoints" if way == "checkpoints deleted" else workdir
        gone.rename(trial.folder / "elsewhere")  # at once: deleting takes time, and may meet a save
        if way != "moved":
            shutil.rmtree(trial.folder / "elsewhere", ignore_errors=True)

    outcome = _disturb(trial, workdir, disturb)
    if (
        outcome.status == 0
        and "done:" in outcome.err
        and steps_of(trial.folder / "elsewhere")[-1:] == [16]
    ):
        return  # it had written all before its folder moved
    require(outcome.status == 2, f"status {outcome.status} though its folder is gone")
    require(str(workdir) in outcome.errors[0], f"does not name it: {outcome.errors[0]}")
    require(way == "checkpoints deleted" or not steps_of(workdir), "made its folder again")
