"""Full disks, closed pipes, odd names."""

import functools
import shutil
import subprocess
import sys

from experiments.torture.judge import require, require_refused
from experiments.torture.runs import same_end

# A small file system that nobody else sees, and that is gone with the shell that made it.
ON_SMALL_DISK = """
small=$1
mkdir -p "$small" && mount -t tmpfs -o size=$2k tmpfs "$small" || exit 99
shift 2
"$@"; status=$?
ls -A "$small" >&3
exit $status
"""


def full_disk(trial):
    """A disk without room: one line with the path, nothing half written, and then it goes on."""
    small = trial.folder / "small"
    room = trial.rng.choice([0, 4, 60, 200, 400, 800, 1600])  # KiB, below what any output takes
    command, argv, output = trial.rng.choice(_writers(trial, small))
    trial.note = f"{command} with {room} KiB for {output.name}"
    if command == "train" and trial.rng.random() < 0.5 or not _has_small_disks():
        return _goes_on_later(trial)
    listing = trial.folder / "listing"
    argv = (small, max(room, 4), *_python(command), *argv)
    shell = f"exec 3>'{listing}'; {ON_SMALL_DISK}"
    running = trial.start("", "-rm", "sh", "-c", shell, "sh", *argv, program="unshare")
    outcome = trial.finish(running, command)
    if outcome.status == 0:
        return  # there was room enough
    require(str(small) in outcome.errors[0], f"names no path: {outcome.errors[0]}")
    halves = (".tmp", ".unchecked", ".part")
    whole = output.name if output.name not in ("run", "out") else ""  # folders are there at once
    rests = [n for n in listing.read_text().split() if n.endswith(halves) or n == whole]
    require(not rests, f"leaves {', '.join(rests)}")


@functools.cache
def _has_small_disks():
    """Whether this user may mount one that nobody else sees."""
    argv = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return (
        bool(shutil.which("unshare")) and not subprocess.run(argv, capture_output=True).returncode
    )


def _python(command):
    return (sys.executable, "-m", f"ppocr_jax.{command}")


def _writers(trial, folder):
    """`[(command, arguments, output)]` of what writes into a folder."""
    weights = trial.ground.path("run")
    config = ("--config", trial.ground.config)
    run = ("--weights", weights, "--output")
    pictures = trial.ground.path("data")
    return [
        ("train", trial.ground.short(folder / "run"), folder / "run"),
        ("extract", (*run, folder / "x"), folder / "x"),
        ("extract", (*run, folder / "x.pdparams"), folder / "x.pdparams"),
        ("export", (*config, *run, folder / "x.onnx"), folder / "x.onnx"),
        ("predict", trial.ground.predicting(weights, pictures, folder / "out"), folder / "out"),
        ("evaluate", (*config, *run, folder / "m.json"), folder / "m.json"),
    ]


def _goes_on_later(trial):
    """A run whose files may not grow beyond a size ends in one line, and goes on without it."""
    workdir = trial.folder / "run"
    most = trial.rng.choice([1_000, 20_000, 60_000, 200_000])
    trial.note = f"train with files of at most {most} bytes"
    running = trial.start("train", *trial.ground.short(workdir), file_bytes=most)
    outcome = trial.finish(running, "train")
    require(outcome.status == 0 or str(workdir) in outcome.errors[0],
            f"names no path: {outcome.errors[:1]}")  # fmt: skip
    again = trial.run("train", *trial.ground.short(workdir), writes=(workdir,))
    require(again.status == 0, f"does not go on: {again.errors}")
    same_end(trial, workdir)


def cut_pipe(trial):
    """Output that nobody reads to its end ends a command quietly."""
    weights = trial.ground.path("run")
    command, argv = trial.rng.choice([
        ("extract", f"--weights {weights} --list"),
        ("evaluate", f"--weights {weights}"),
        ("check_data", f"--config {trial.ground.config} --config.data.val=train.txt"),
        ("train", "--help"),
        ("convert_config", "--help"),
    ])  # fmt: skip
    reader = trial.rng.choice(["head -c 0", "head -n 1", "true", "sh -c 'exec <&-; sleep 1'"])
    trial.note = f"{command} | {reader}"
    line = f"{' '.join(_python(command))} {argv} | {reader} > /dev/null; exit ${{PIPESTATUS[0]}}"
    running = trial.start("", "-c", line, program="bash")
    outcome = trial.finish(running, command, (13,))
    require("Broken pipe" not in outcome.err.replace("error: ", ""), f"says: {outcome.lines[-1:]}")


ODD = (
    "a\nb", "\x1b[31mred", " blank ", "tab\there", "~", "x" * 250, "\u202eabc", "per%cent",
    "com,ma", "-dash", "\udcff",
)  # fmt: skip
NO_TEXT = "\udcff"  # bytes that are no UTF-8: libraries in C++ take no such name


def odd_names(trial):
    """Names with control characters are shown escaped; any name that is text is used as it is."""
    odd = trial.rng.choice(ODD)
    trial.note = repr(odd)[:40]
    folder = trial.folder / odd
    if trial.rng.random() < 0.5:
        shutil.copytree(trial.ground.path("run"), folder)
        shutil.rmtree(folder / "checkpoints")
        outcome = trial.run("evaluate", *trial.ground.evaluating(folder))
        require_refused(outcome)
        return
    shutil.copytree(trial.ground.path("extracted"), folder)
    outcome = trial.run("evaluate", *trial.ground.evaluating(folder))
    if odd == NO_TEXT and outcome.status:
        return require_refused(outcome)
    require(outcome.status == 0, f"does not take a good folder: {outcome.errors}")
