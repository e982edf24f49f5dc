"""The comparison, with training replaced by a function that only writes log records."""

import json
import pathlib
import random

import pytest

from experiments import recipe
from experiments.finetune_sizes import __main__ as command
from experiments.finetune_sizes import plan, stages
from ppocr_jax.errors import UserError


class Trainer:
    """Replaces `recipe.run`: learning rate 5e-4 and 600 steps are each better by 0.1."""

    def __init__(self):
        self.calls = []

    def __call__(self, module, *arguments):
        given = [str(argument) for argument in arguments]
        self.calls.append((module, given))
        keys = dict(text.split("=", 1) for text in given if text.startswith("--config."))
        if module == "evaluate":
            output = pathlib.Path(given[given.index("--output") + 1])
            output.write_text(json.dumps({"hmean": 0.6 if "raw" in output.name else 0.65}) + "\n")
            return
        workdir = pathlib.Path(given[given.index("--workdir") + 1])
        workdir.mkdir(parents=True)
        steps, every = (int(keys[f"--config.{k}"]) for k in ("steps", "eval.every_steps"))
        gain = 0.1 * (keys["--config.learning_rate"] == "0.0005") + 0.1 * (steps == 600)
        records = [{"kind": "start", "time": 0.0}]
        for index, step in enumerate(range(0, steps + 1, every)):
            for role, move in (("student", 0.05), ("student_average", 0.01)):
                hmean = 0.5 + gain + move * (index % 2)
                records.append({"kind": "eval", "step": step, "time": 60.0 * index, "role": role,
                                "hmean": hmean})  # fmt: skip
        text = "".join(json.dumps(record) + "\n" for record in records)
        (workdir / "metrics.jsonl").write_text(text)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """`(argv, trainer)`: the command with a small label file, and the replaced training."""
    (tmp_path / "icdar").mkdir()
    lines = "".join(f"{index}.png\t[]\n" for index in range(1000))
    (tmp_path / "icdar" / "train_icdar2015_label.txt").write_text(lines)
    (tmp_path / "student.pdparams").write_bytes(b"")
    trainer = Trainer()
    monkeypatch.setattr(recipe, "run", trainer)
    argv = ["--icdar", tmp_path / "icdar", "--student", tmp_path / "student.pdparams"]
    return [*map(str, argv), "--workdir", str(tmp_path / "runs")], trainer


def test_held_out_images_are_those_of_the_other_page(made, tmp_path):
    icdar = tmp_path / "icdar"
    stages.Stages(icdar, tmp_path / "student.pdparams", tmp_path / "runs")
    lines = (icdar / "train_icdar2015_label.txt").read_text().splitlines()
    random.Random(0).shuffle(lines)  # as that page's split has it
    ours = tmp_path / "runs" / "splits"
    assert (ours / "val.txt").read_text().splitlines() == lines[:100]
    assert (ours / "train_900.txt").read_text().splitlines() == lines[100:]
    whole = (ours / "train_900.txt").read_text().splitlines()
    assert (ours / "train_50.txt").read_text().splitlines() == whole[:50]


def test_averaging(made, tmp_path, capsys):
    argv, trainer = made
    assert command.main([*argv, "--only", "averaging"]) == 0
    table = (tmp_path / "runs" / "averaging.md").read_text()
    assert "| 11 | 0.0500 | 0.0100 | 0.6000 | 0.6500 |" in table
    assert "moves 0.20 times as much" in table and "differs by +0.0500" in table
    assert len(trainer.calls) == 12  # six runs, each scored once
    command.main([*argv, "--only", "averaging"])
    assert len(trainer.calls) == 12 and capsys.readouterr().out.count("| 13 |") == 2


def test_settings_are_chosen_and_the_test_set_scored_once(made, tmp_path):
    argv, trainer = made
    assert command.main([*argv, "--only", "sizes"]) == 0
    (row,) = [x for x in (tmp_path / "runs" / "sizes.md").read_text().splitlines() if "| 50 |" in x]
    # Mean of the last two evaluations, of which one is higher; the network moves more than its
    # average.
    assert row.startswith("| 50 | 0.0005 | 600 | 640 | 0.5 to 3 | 0.2 | student | 0.7250, 0.7050 |")
    assert "| 0.6500, 0.6500 | **0.6500** |" in row
    modules = [module for module, _ in trainer.calls]
    assert modules.count("evaluate") == len(plan.SIZES) * len(plan.SCORED_SEEDS)
    done = len(trainer.calls)
    command.main([*argv, "--only", "sizes"])
    assert len(trainer.calls) == done


def test_minutes_leave_out_the_time_between_attempts():
    times = [("start", 0), ("eval", 60), ("start", 9e5), ("eval", 9e5 + 120)]
    assert stages.minutes([{"kind": kind, "time": time} for kind, time in times]) == 3.0


def test_the_plan_is_printed_and_options_are_checked(made, capsys):
    assert command.main(["--plan"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("averaging: 3 seeds, raw and averaged: 6 runs")
    assert len(lines) == 1 + 2 * len(plan.SIZES) + 1 and lines[-1].endswith("on 2 CPU cores")
    with pytest.raises(UserError, match="--icdar is missing"):
        command.main([])
    with pytest.raises(UserError, match="--student gone: no such file"):
        command.main([*made[0][:3], "gone", *made[0][4:]])
