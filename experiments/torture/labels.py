"""Trials with label files and folders: odd forms that people have, and broken ones."""

import json
import os
import pathlib
import random
import re
from collections.abc import Callable
from typing import Any

from experiments.torture import damage
from experiments.torture.commands import Outcome
from experiments.torture.judge import require, require_refused
from experiments.torture.trial import Trial
from experiments.torture.valid import read_lines, scores

READ_BY = ("check_data", "check_data", "evaluate", "train")


def _given(
    trial: Trial,
    labels: pathlib.Path,
    command: str | None = None,
    root: pathlib.Path | None = None,
    other: str = "val.txt",
) -> tuple[str, Outcome]:
    """Runs a command on a label file or folder; returns `(command, Outcome)`.

    Args:
        trial: the trial.
        labels: for training, or for validation if the command is `evaluate`.
        command: which one; None: at random.
        root: folder of the pictures; None: the valid ones.
        other: label file of the other split.
    """
    command = command or trial.rng.choice(READ_BY)
    root = root or trial.valid.path("data")
    data = [f"--config.data.root={root}"]
    if command == "evaluate":
        data.append(f"--config.data.val={labels}")
    else:
        data += [f"--config.data.train={labels}", f"--config.data.val={other}"]
    if command == "train":
        workdir = trial.folder / "new"
        argv = trial.valid.short(workdir, *data)
        return command, trial.run("train", *argv, writes=(workdir,))
    weights = ("--weights", trial.valid.path("net.pdparams")) if command == "evaluate" else ()
    return command, trial.run(command, "--config", trial.valid.config, *weights, *data)


def gt_forms(trial: Trial) -> None:
    """A folder of `gt_*.txt` in one of the usual forms is read correctly, or refused by name."""
    name, write = trial.rng.choice(list(FORMS.items()))
    trial.input = trial.folder / "gt"
    trial.input.mkdir()
    marked = False
    for picture, labels in read_lines(trial.valid.path("data/val.txt")):
        lines = [write(trial.rng, _numbers(label), label["transcription"]) for label in labels]
        marked = marked or name.startswith("ignored")
        text = "\n".join(lines) + "\n"
        (trial.input / f"gt_{picture.removesuffix('.png')}.txt").write_text(text, encoding="utf-8")
    trial.note = f"{name}: {lines[0]}"
    command, outcome = _given(
        trial, trial.input, trial.rng.choice(["evaluate", "check_data"]), other="train.txt"
    )
    if outcome.status:
        require_refused(outcome, "/gt")
    elif command == "evaluate":
        good, _ = scores(trial.valid.good["evaluate net.pdparams"])
        found, _ = scores(outcome)
        if marked:
            right = found["boxes_labelled"] == 0
            require(right or outcome.new_messages(trial.valid.good["evaluate net.pdparams"]),
                    "SILENT: ignored words are counted")  # fmt: skip
        else:
            require(found["hmean"] == good["hmean"], f"SILENT: hmean {found['hmean']:.3f} instead "
                    f"of {good['hmean']:.3f}")  # fmt: skip
    elif marked:
        counted = re.search(r"\b0 words|mark", outcome.out)
        require(counted, "SILENT: check_data counts ignored words")


def _numbers(label: dict[str, Any]) -> str:
    return ",".join(str(value) for point in label["points"] for value in point)


# Forms of lines in the files of ICDAR, MLT and related data sets: (rng, points, text) -> line.
FORMS: dict[str, Callable[[random.Random, str, str], str]] = {
    "plain": lambda rng, numbers, text: f"{numbers},{text}",
    "without text": lambda rng, numbers, text: numbers,
    "numbers as text": lambda rng, numbers, text: f"{numbers},{rng.randrange(10**6):,}",
    "one number as text": lambda rng, numbers, text: f"{numbers},{rng.randrange(1000)}",
    "two numbers as text": lambda rng, numbers, text: f"{numbers},{rng.randrange(99)},7",
    "quoted": lambda rng, numbers, text: f'{numbers},"{text}"',
    "language": lambda rng, numbers, text: f"{numbers},Latin,{text}",
    "ignored": lambda rng, numbers, text: f"{numbers},###",
    "ignored, language": lambda rng, numbers, text: f"{numbers},Latin,###",
    "ignored, quoted": lambda rng, numbers, text: f'{numbers},"###"',
    "ignored, blank": lambda rng, numbers, text: f"{numbers},### ",
    "ignored, wide": lambda rng, numbers, text: f"{numbers},＃＃＃",
    "ignored, long": lambda rng, numbers, text: f"{numbers},{'#' * rng.randrange(4, 8)}",
    "floats": lambda rng, numbers, text: numbers.replace(",", ".0,") + f".0,{text}",
}  # fmt: skip


def changed_lines(trial: Trial) -> None:
    """A label file with one changed value, or a few changed bytes, is read or refused by name."""
    lines = read_lines(trial.valid.path("data/train.txt"))
    row = trial.rng.randrange(len(lines))
    picture, labels = lines[row]
    way = trial.rng.random()
    texts = [f"{name}\t{json.dumps(entries)}" for name, entries in lines]
    if way < 0.5:
        trial.note, labels = damage.change_node(trial.rng, labels)
        texts[row] = f"{picture}\t{json.dumps(labels)}"
    elif way < 0.75:
        trial.note, texts[row] = trial.rng.choice(WRONG_LINES)(picture, texts[row])
    path = trial.write("labels.txt", "\n".join(texts) + "\n")
    if way >= 0.75:
        trial.note = damage.damage(trial.rng, path)
    command, outcome = _given(trial, path)
    if outcome.status:
        require_refused(outcome, "labels.txt", picture, "nothing")


def _points(value: object) -> str:
    """A line's labels with one polygon, whose points are the given JSON."""
    return f'[{{"transcription": "a", "points": {value}}}]'


WRONG_LINES = (
    lambda name, line: ("no tab", line.replace("\t", " ")),
    lambda name, line: ("a zero byte in the name", f"a\0{line}"),
    lambda name, line: ("an escape in the name", f"a\x1b[31m{line}"),
    lambda name, line: ("a line break of another kind", line.replace("\t", "\u2028\t", 1)),
    lambda name, line: ("nested lists", f"{name}\t{'[' * 100_000}"),
    lambda name, line: ("nested points", f"{name}\t{_points('[' * 5000 + ']' * 5000)}"),
    lambda name, line: ("points are null", f"{name}\t{_points('null')}"),
    lambda name, line: ("400 digits", f"{name}\t{_points([[0, 0], [10**400, 0], [9, 9]])}"),
    lambda name, line: ("1e30", f"{name}\t{_points('[[0, 0], [1e30, 0], [1e30, 1e30]]')}"),
    lambda name, line: ("1e10", f"{name}\t{_points('[[0, 0], [1e10, 0], [1e10, 1e10]]')}"),
    lambda name, line: ("NaN", f"{name}\t{_points('[[0, 0], [NaN, 0], [9, 9]]')}"),
    lambda name, line: ("a name of 5000 letters", f"{'n' * 5000}\t[]"),
)


def crossing_points(trial: Trial) -> None:
    """A polygon with thousands of edges that cross each other does not take minutes."""
    count = trial.rng.choice([500, 2000, 5000, 20_000])
    points = [[trial.rng.randrange(96), trial.rng.randrange(96)] for _ in range(count)]
    entry = {"transcription": "a", "points": points}
    trial.note = f"{count} points"
    lines = trial.valid.path("data/train.txt").read_text().splitlines()
    lines[0] = "train_0.png\t" + json.dumps([entry])
    _given(trial, trial.write("labels.txt", "\n".join(lines) + "\n"))


def strange_files(trial: Trial) -> None:
    """A pipe, device or folder instead of a picture or label file is named."""
    place = trial.folder / "strange"
    trial.input = place
    make = trial.rng.choice(["fifo", "/dev/zero", "/dev/stdin", "folder", "loop", "empty"])
    if make == "fifo":
        os.mkfifo(place)
    elif make == "folder":
        place.mkdir()
    elif make == "empty":
        place.touch()
    else:
        place.symlink_to(place if make == "loop" else make)
    trial.note = make
    if trial.rng.random() < 0.3:
        _, outcome = _given(trial, place)
    else:
        lines = trial.valid.path("data/train.txt").read_text().splitlines()
        path = trial.folder / "labels.txt"
        path.write_text("\n".join([*lines[1:], f"{place}\t[]"]) + "\n")
        _, outcome = _given(trial, path)
    require("strange" in outcome.err + outcome.out, "does not name it")


def other_names(trial: Trial) -> None:
    """Names with backslashes, a leading dot or another Unicode form are found, or explained."""
    import shutil
    import unicodedata

    root = trial.folder / "root"
    (root / "põ").mkdir(parents=True)
    lines = read_lines(trial.valid.path("data/val.txt"))
    trial.note, change = trial.rng.choice([
        ("backslashes", lambda name: f"põ\\{name}"),
        ("a dot before", lambda name: f"./põ/{name}"),
        ("backslash and dot", lambda name: f".\\põ\\{name}"),
        ("decomposed", lambda name: unicodedata.normalize("NFD", f"põ/{name}")),
        ("blanks", lambda name: f"põ/ {name} "),
    ])  # fmt: skip
    blanks = trial.note == "blanks"
    texts = []
    for name, labels in lines:
        shutil.copy(
            trial.valid.path("data") / name, root / "põ" / (f" {name} " if blanks else name)
        )
        texts.append(f"{change(name)}\t{json.dumps(labels)}\n")
    path = trial.write("root/labels.txt", "".join(texts))
    _, outcome = _given(trial, path, "evaluate", root)
    if outcome.status:  # "no such file" alone is no help if the name looks like an existing one
        text = (outcome.err + outcome.out).replace("\\\\", "\\")
        right = {"backslashes": "\\", "backslash and dot": "\\", "decomposed": "nicode"}
        say = right.get(trial.note)
        require(say is None or say in text, "does not tell why the name is not found")
        require(say is not None, f"does not find {change('val_0.png')!r}")
    else:
        good, _ = scores(trial.valid.good["evaluate net.pdparams"])
        found, _ = scores(outcome)
        require(found["hmean"] == good["hmean"], "SILENT: another hmean")
