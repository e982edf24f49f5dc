"""The comparison's command, with trainings that only write records: runs and tables."""

import json
import pathlib

import pytest

from experiments import recipe
from experiments.distillation import __main__ as command
from experiments.distillation import plan
from ppocr_jax import config as configs
from ppocr_jax import config_files
from ppocr_jax.errors import UserError


class Trainer:
    """Stands for `recipe.run`: CML is better by 0.1 and 2.5 times as slow; the teacher has 0.7."""

    def __init__(self):
        self.calls, self.configs = [], {}

    def __call__(self, module, *arguments):
        given = [str(argument) for argument in arguments]
        given = [text for text in given if not text.startswith("--config.")]
        options = dict(zip(given[::2], given[1::2], strict=True))
        self.calls.append(module)
        if module == "evaluate":
            output = pathlib.Path(options["--output"])
            hmean = 0.5 + 0.1 * ("cml" in output.name) + 0.2 * ("teacher" in output.name)
            score = {"precision": 0.6, "recall": 0.5, "hmean": hmean}
            output.write_text(json.dumps(score) + "\n")
            return
        config, _ = config_files.open_config(options["--config"])
        configs.check(config)
        workdir = pathlib.Path(options["--workdir"])
        self.configs[workdir.name] = config
        workdir.mkdir()
        rate = 4.0 if "cml" in workdir.name else 10.0
        records = [{"kind": "train", "step": 1, "images_per_s": r} for r in (0.1, rate, rate)]
        for role in ("student", "student_average"):
            records.append({"kind": "eval", "step": 1, "role": role, "hmean": 0.5})
        text = "".join(json.dumps(record) + "\n" for record in records)
        (workdir / "metrics.jsonl").write_text(text)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """`(argv, trainer)` for the command over a made label file."""
    (tmp_path / "icdar").mkdir()
    lines = "".join(f"{index}.png\t[]\n" for index in range(1000))
    (tmp_path / "icdar" / "train_icdar2015_label.txt").write_text(lines)
    argv = ["--icdar", str(tmp_path / "icdar")]
    for name in ("init", "teacher"):
        (tmp_path / f"{name}.pdparams").write_bytes(b"")
        argv += [f"--{name}", str(tmp_path / f"{name}.pdparams")]
    trainer = Trainer()
    monkeypatch.setattr(recipe, "run", trainer)
    mobile = config_files.find("configs/ppocrv3_det_mobile.py")
    monkeypatch.setattr(config_files, "find_for", lambda weights: mobile)
    return [*argv, "--workdir", str(tmp_path / "runs")], trainer


def test_tables_of_both_comparisons(made, tmp_path):
    argv, trainer = made
    assert command.main(argv) == 0
    updates = (tmp_path / "runs" / "updates.md").read_text()
    assert "| 11 | 0.6000, 0.5000 | 0.5000 | 0.6000, 0.5000 | 0.6000 | +0.1000 |" in updates
    assert "+0.1000 in the worst seed. The teacher has 0.7000." in updates
    time = (tmp_path / "runs" / "time.md").read_text()
    assert f"| 13 | {plan.STEPS * 2.5:.0f} | 0.5000 | 0.6000 | +0.1000 |" in time
    assert "2.50 times as long" in time and (tmp_path / "runs" / "curve.png").stat().st_size
    assert trainer.calls.count("train") == 9 and trainer.calls.count("evaluate") == 10
    command.main(argv)
    assert len(trainer.calls) == 19  # nothing is done again


def test_runs_differ_in_the_teacher_alone(made):
    argv, trainer = made
    command.main([*argv, "--only", "updates"])
    assert len(trainer.configs) == 6
    alone, taught = (dict(configs.record(trainer.configs[f"{n}_seed12"])) for n in ("alone", "cml"))
    differing = {key for key in taught if alone[key] != taught[key]}
    assert differing == {"roles", "trainable", "init_from", "loss"}
    assert taught["roles"]["teacher"] == taught["roles"]["student"]
    assert taught["init_from"]["teacher"].endswith("teacher.pdparams")
    assert taught["init_from"]["student2"] == alone["init_from"]["student"]
    differing = {key for key in taught["loss"] if alone["loss"][key] != taught["loss"][key]}
    assert differing == {"labels", "mutual", "teacher", "total"}


def test_the_plan_is_said_and_options_are_checked(made, capsys):
    assert command.main(["--plan"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("equal updates: the student alone: 3 runs, ")
    assert len(lines) == 4 and lines[-1].endswith("on 2 CPU cores")
    six = sum(minutes for what, _, minutes in plan.expected() if what.startswith("equal updates"))
    assert six <= 120
    with pytest.raises(UserError, match="--teacher is missing"):
        command.main(made[0][:4])
    with pytest.raises(UserError, match="--init gone: there is no such file"):
        command.main(["--icdar", made[0][1], "--init", "gone"])
