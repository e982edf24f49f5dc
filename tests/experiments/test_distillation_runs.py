"""The comparison, with training replaced by a function that only writes log records."""

import json
import pathlib

import cv2
import numpy as np
import pytest

from experiments import recipe
from experiments.distillation import __main__ as command
from experiments.distillation import plan
from ppocr_jax import config as configs
from ppocr_jax import config_files
from ppocr_jax.errors import UserError

HELD_OUT = {"all_alone": 0.5, "all_as_published": 0.51, "all_soft": 0.51, "all_soft_x4": 0.52,
            "all_single_x4": 0.53,
            "few_alone": 0.4, "few_everywhere": 0.55, "few_soft": 0.45}  # fmt: skip
HOW = ("alone", "as_published", "soft", "single_x4")


class Trainer:
    """Replaces `recipe.run`: CML is better by 0.1 and 2.5 times as slow; the teacher has 0.7."""

    def __init__(self):
        self.calls, self.configs = [], {}

    def __call__(self, module, *arguments):
        given = [text for text in map(str, arguments) if not text.startswith("--config.")]
        options = dict(zip(given[::2], given[1::2], strict=True))
        self.calls.append(module)
        if module == "evaluate":
            output = pathlib.Path(options["--output"])
            hmean = 0.5 + 0.1 * ("soft" in output.name) + 0.2 * ("teacher" in output.name)
            score = {"precision": 0.6, "recall": 0.5, "hmean": hmean}
            output.write_text(json.dumps(score) + "\n")
            return
        config, _ = config_files.open_config(options["--config"])
        configs.check(config)
        workdir = pathlib.Path(options["--workdir"])
        self.configs[workdir.name] = config
        workdir.mkdir()
        rate = 10.0 if "alone" in workdir.name else 4.0
        records = [{"kind": "train", "step": 1, "images_per_s": r} for r in (0.1, rate, rate)]
        hmean = HELD_OUT[workdir.name.partition("_seed")[0]]
        for step, role in ((1, "student"), (0, plan.JUDGED), (1, plan.JUDGED), (2, plan.JUDGED)):
            value = 0.0 if role == "student" or not step else hmean
            records.append({"kind": "eval", "step": step, "role": role, "hmean": value})
        text = "".join(json.dumps(record) + "\n" for record in records)
        (workdir / "metrics.jsonl").write_text(text)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """`(argv, trainer)`: the command with a small label file, and the replaced training."""
    (tmp_path / "icdar").mkdir()
    cv2.imwrite(str(tmp_path / "icdar" / "0.png"), np.zeros((40, 60, 3), np.uint8))
    lines = "0.png\t[]\n" * 1000
    (tmp_path / "icdar" / "train_icdar2015_label.txt").write_text(lines)
    argv = ["--icdar", str(tmp_path / "icdar")]
    for name in ("student", "teacher"):
        (tmp_path / f"{name}.pdparams").write_bytes(b"")
        argv += [f"--{name}", str(tmp_path / f"{name}.pdparams")]
    trainer = Trainer()
    monkeypatch.setattr(recipe, "run", trainer)
    mobile = config_files.find("configs/ppocrv3_det_mobile.py")
    monkeypatch.setattr(config_files, "find_for", lambda weights: mobile)
    return [*argv, "--workdir", str(tmp_path / "runs")], trainer


def test_compared_with_equal_steps_and_equal_time(made, tmp_path):
    argv, trainer = made
    assert command.main(argv) == 0
    tried = (tmp_path / "runs" / "tries.md").read_text()
    assert "| all | 0.5000 | 0.5100 |  | 0.5100 | 0.5200 | 0.5300 |" in tried
    assert "| few | 0.4000 |  | 0.5500 | 0.4500 |  |  |" in tried
    updates = (tmp_path / "runs" / "updates.md").read_text()
    assert "| 11 | 0.6000, 0.5000 | 0.5000 | 0.6000, 0.5000 | 0.6000 | +0.1000 |" in updates
    assert "+0.1000 with the worst seed. The teacher's hmean is 0.7000." in updates
    time = (tmp_path / "runs" / "time.md").read_text()
    assert f"| 13 | {plan.STEPS * 2.5:.0f} | 0.5000 | 0.6000 | +0.1000 |" in time
    assert "2.50 times as long" in time and (tmp_path / "runs" / "curve.png").stat().st_size
    assert trainer.calls.count("train") == 8 + 9 and trainer.calls.count("evaluate") == 10
    done = len(trainer.calls)
    command.main([*argv, "--only", "time"])
    assert len(trainer.calls) == done  # nothing is done again


def test_runs_differ_only_in_the_teacher(made):
    argv, trainer = made
    command.main([*argv, "--only", "tries"])
    records = {name: dict(configs.record(c)) for name, c in trainer.configs.items()}
    alone, taught, soft, single = (records[f"all_{how}_seed1_steps300"] for how in HOW)
    differing = {key for key in taught if alone[key] != taught[key]}
    assert differing == {"roles", "trainable", "init_from", "loss"}
    assert taught["roles"]["teacher"] == taught["roles"]["student"]
    assert taught["init_from"]["teacher"].endswith("teacher.pdparams")
    assert taught["init_from"]["student2"] == alone["init_from"]["student"]
    assert taught["loss"]["teacher"] == [["student", "teacher", 1.0], ["student2", "teacher", 1.0]]
    assert soft["frozen_norm"] == "stored" and soft["loss"]["teacher"] == []
    pairs = [["student", "student2"], *(["student" + n, "teacher", 50.0] for n in ("", "2"))]
    assert soft["loss"]["mutual"] == pairs and taught["loss"]["mutual"] == pairs[:1]
    assert single["trainable"] == ["student"] and "student2" not in single["roles"]
    assert single["loss"]["mutual"] == [["student", "teacher", 200.0]]


def test_with_few_labels_cml_also_sees_the_other_pictures(made):
    argv, trainer = made
    command.main([*argv, "--only", "tries"])
    data = trainer.configs["few_everywhere_seed1_steps300"].data
    labelled, hidden = (pathlib.Path(path).read_text() for path in data.train.split(","))
    assert labelled.count("\n") == 20 and hidden.count("\n") == 880
    record, words = hidden.splitlines()[0].split("\t")
    assert record == "0.png" and json.loads(words) == [
        {"transcription": "###", "points": [[0, 0], [60, 0], [60, 40], [0, 40]]}
    ]
    assert data.ratios[1] * 880 == pytest.approx(20)
    alone = trainer.configs["few_alone_seed1_steps300"].data
    assert alone.train == data.train.split(",")[0] and alone.ratios == (1.0,)


def test_the_plan_is_printed_and_options_are_checked(made, capsys):
    assert command.main(["--plan"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("equal steps: student alone: 3 runs, ")
    assert len(lines) == 5 and lines[-1].endswith("on 2 CPU cores")
    six = sum(minutes for what, _, minutes in plan.expected() if what.startswith("equal steps"))
    assert six <= 120
    with pytest.raises(UserError, match="--teacher is missing"):
        command.main(made[0][:4])
    with pytest.raises(UserError, match="--student gone: no such file"):
        command.main(["--icdar", made[0][1], "--student", "gone"])
