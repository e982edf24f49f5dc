"""Trials with full disks, closed pipes and odd names."""

import functools
import pathlib
import shutil
import subprocess
import sys
from typing import Any

from experiments.torture.judge import require, require_refused
from experiments.torture.runs import same_end
from experiments.torture.trial import Trial

# Runs a command on a small file system in a namespace of its own, which ends with the shell. Lists
# the files that the command leaves there on descriptor 3.
ON_SMALL_DISK = """
small=$1
mkdir -p "$small" && mount -t tmpfs -o size=$2k tmpfs "$small" || exit 99
shift 2
"$@"; status=$?
ls -A "$small" >&3
exit $status
"""


def full_disk(trial: Trial) -> None:
    """On a full disk a command ends with one line with the path and leaves no partial file."""
    small = trial.folder / "small"
    room = trial.rng.choice([0, 4, 60, 200, 400, 800, 1600])  # KiB, less than any output needs
    command, argv, output = trial.rng.choice(_writers(trial, small))
    trial.note = f"{command} with {room} KiB for {output.name}"
    if command == "train" and trial.rng.random() < 0.5 or not _has_small_disks():
        return _resumes_later(trial)
    listing = trial.folder / "listing"
    argv = (small, max(room, 4), *_python(command), *argv)
    shell = f"exec 3>'{listing}'; {ON_SMALL_DISK}"
    running = trial.start("", "-rm", "sh", "-c", shell, "sh", *argv, program="unshare")
    outcome = trial.finish(running, command)
    if outcome.status == 0:
        return  # it fitted
    require(str(small) in outcome.errors[0], f"names no path: {outcome.errors[0]}")
    halves = (".tmp", ".unchecked", ".part")
    whole = (
        output.name if output.name not in ("run", "out") else ""
    )  # folders are created at the start
    rests = [n for n in listing.read_text().split() if n.endswith(halves) or n == whole]
    require(not rests, f"leaves {', '.join(rests)}")


@functools.cache
def _has_small_disks() -> bool:
    """Whether this user may mount a file system in a namespace."""
    argv = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return (
        bool(shutil.which("unshare")) and not subprocess.run(argv, capture_output=True).returncode
    )


def _python(command: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"ppocr_jax.{command}")


def _writers(trial: Trial, folder: pathlib.Path) -> list[tuple[str, tuple[Any, ...], pathlib.Path]]:
    """`[(command, arguments, output)]` of the commands that write, each into this folder."""
    weights = trial.valid.path("run")
    config = ("--config", trial.valid.config)
    run = ("--weights", weights, "--output")
    pictures = trial.valid.path("data")
    return [
        ("train", trial.valid.short(folder / "run"), folder / "run"),
        ("extract", (*run, folder / "x"), folder / "x"),
        ("extract", (*run, folder / "x.pdparams"), folder / "x.pdparams"),
        ("export", (*config, *run, folder / "x.onnx"), folder / "x.onnx"),
        ("predict", trial.valid.predicting(weights, pictures, folder / "out"), folder / "out"),
        ("evaluate", (*config, *run, folder / "m.json"), folder / "m.json"),
    ]


def _resumes_later(trial: Trial) -> None:
    """A run with limited file sizes ends with one line, and resumes without the limit."""
    workdir = trial.folder / "run"
    most = trial.rng.choice([1_000, 20_000, 60_000, 200_000])
    trial.note = f"train with files of at most {most} bytes"
    running = trial.start("train", *trial.valid.short(workdir), file_bytes=most)
    outcome = trial.finish(running, "train")
    require(outcome.status == 0 or str(workdir) in outcome.errors[0],
            f"names no path: {outcome.errors[:1]}")  # fmt: skip
    again = trial.run("train", *trial.valid.short(workdir), writes=(workdir,))
    require(again.status == 0, f"does not resume: {again.errors}")
    same_end(trial, workdir)


def cut_pipe(trial: Trial) -> None:
    """A command whose output is not read to the end ends quietly."""
    weights = trial.valid.path("run")
    command, argv = trial.rng.choice([
        ("extract", f"--weights {weights} --list"),
        ("evaluate", f"--weights {weights}"),
        ("check_data", f"--config {trial.valid.config} --config.data.val=train.txt"),
        ("train", "--help"),
        ("convert_config", "--help"),
    ])  # fmt: skip
    reader = trial.rng.choice(["head -c 0", "head -n 1", "true", "sh -c 'exec <&-; sleep 1'"])
    trial.note = f"{command} | {reader}"
    line = f"{' '.join(_python(command))} {argv} | {reader} > /dev/null; exit ${{PIPESTATUS[0]}}"
    running = trial.start("", "-c", line, program="bash")
    outcome = trial.finish(running, command, (13,))
    require(
        "Broken pipe" not in outcome.err.replace("error: ", ""), f"prints: {outcome.lines[-1:]}"
    )


ODD = (
    "a\nb", "\x1b[31mred", " blank ", "tab\there", "~", "x" * 250, "\u202eabc", "per%cent",
    "com,ma", "-dash", "\udcff",
)  # fmt: skip
NO_TEXT = "\udcff"  # a byte that is not UTF-8: C++ libraries reject such a name


def odd_names(trial: Trial) -> None:
    """Control characters in names are printed escaped; any name that is text works."""
    odd = trial.rng.choice(ODD)
    trial.note = repr(odd)[:40]
    folder = trial.folder / odd
    # Without checkpoints the folder has to be refused, and its name printed.
    if trial.rng.random() < 0.5:
        shutil.copytree(trial.valid.path("run"), folder)
        shutil.rmtree(folder / "checkpoints")
        outcome = trial.run("evaluate", *trial.valid.evaluating(folder))
        require_refused(outcome)
        return
    shutil.copytree(trial.valid.path("extracted"), folder)
    outcome = trial.run("evaluate", *trial.valid.evaluating(folder))
    if odd == NO_TEXT and outcome.status:
        return require_refused(outcome)
    require(outcome.status == 0, f"rejects a valid folder: {outcome.errors}")
