"""Trains and scores the runs of one workdir, unless that is already done."""

import json
import statistics
from collections.abc import Sequence
from typing import Any

from etils import epath
from ml_collections import ConfigDict

from experiments import recipe
from experiments.distillation import plan
from experiments.finetune_sizes.stages import TEST, curve, late, split
from ppocr_jax import config as configs
from ppocr_jax import config_files, files
from ppocr_jax.data.image_files import read_size
from ppocr_jax.errors import UserError

ALL, FEW, HIDDEN = f"train_{plan.PICTURES}.txt", "few.txt", "hidden.txt"


class Stages:
    """The runs of a workdir. An unfinished run resumes; the results of a finished one are read.

    Args:
        icdar: folder of ICDAR2015 with PaddleOCR's two label files.
        student: weights from which the students start.
        teacher: weights of the frozen teacher; its network must be that of a shipped config.
        workdir: folder for all runs.
    """

    def __init__(
        self,
        icdar: epath.PathLike,
        student: epath.PathLike,
        teacher: epath.PathLike,
        workdir: epath.PathLike,
    ) -> None:
        self.icdar = epath.Path(icdar).resolve()
        self.student, self.teacher = (str(epath.Path(p).resolve()) for p in (student, teacher))
        self.workdir = epath.Path(workdir).resolve()
        self.splits = self.workdir / "splits"
        self.splits.mkdir(parents=True, exist_ok=True)
        split(self.icdar / "train_icdar2015_label.txt", self.splits)
        divide(self.icdar, self.splits, plan.LABELLED["few"])
        found, _ = config_files.open_config(str(config_files.find_for(self.teacher)), found=True)
        self._network = found.roles[found.best.role]

    def train(self, run: plan.Run) -> list[dict[str, Any]]:
        """Trains a run to its end, if it is not done yet, and returns its log records."""
        workdir, done = self.workdir / run.name, self.workdir / f"{run.name}.done"
        if not done.exists():
            path = self.workdir / f"{run.name}.json"
            configs.save(self._with_paths(run), path)
            recipe.run("train", "--config", path, "--workdir", workdir)
            files.write_text(done, "")
        return [json.loads(line) for line in (workdir / "metrics.jsonl").open()]

    def _with_paths(self, run: plan.Run) -> ConfigDict:
        """The config of a run, with the paths of data and weights."""
        config, few = plan.make_config(run, self._network), run.case == "few"
        config.data.root = str(self.icdar)
        config.data.train = str(self.splits / (FEW if few else ALL))
        config.data.augment.wordless = "random" if few else "whole"
        if run.taught and few:
            config.data.train += f",{self.splits / HIDDEN}"
            labelled = plan.LABELLED["few"]
            config.data.ratios = (1.0, labelled / (plan.PICTURES - labelled))  # half of each epoch
        config.data.val = str(self.splits / "val.txt")
        for role in run.trainable:
            config.init_from[role] = self.student
        if run.taught:
            config.init_from.teacher = self.teacher
        return config

    def held_out(self, run: plan.Run) -> float:
        """Returns the mean hmean of the last two evaluations on the held-out images."""
        return late(curve(self.train(run), plan.JUDGED))

    def score(self, run: plan.Run) -> dict[str, Any]:
        """Returns the test metrics of a run's best checkpoint; evaluates it only once."""
        self.train(run)
        return self._evaluate(self.workdir / run.name, self.workdir / f"{run.name}_test.json")

    def score_teacher(self) -> dict[str, Any]:
        """Returns the teacher's test metrics, with the students' image size and thresholds."""
        return self._evaluate(self.teacher, self.workdir / "teacher_test.json")

    def _evaluate(self, weights: epath.PathLike, output: epath.Path) -> dict[str, Any]:
        if not output.exists():
            data = {"root": self.icdar, "val": TEST}
            options = [f"--config.data.{key}={value}" for key, value in data.items()]
            recipe.run("evaluate", "--weights", weights, *options, "--output", output)
        return json.loads(output.read_text().splitlines()[0])

    def ratio(self) -> dict[str, float]:
        """Returns the step times of both: `alone_s`, `cml_s` and `ratio`, the second by the first.

        Measured in the compared runs, of each kind the one that other work disturbed least, then
        kept in `ratio.json`: the number of steps of the runs with equal time, and with it their
        names, must not change when the command resumes.
        """
        path = self.workdir / "ratio.json"
        if not path.exists():
            alone, taught = (
                min(update_s(self.train(make(seed))) for seed in plan.SEEDS)
                for make in (plan.alone, plan.taught)
            )
            files.write_json(path, {"alone_s": alone, "cml_s": taught, "ratio": taught / alone})
        return json.loads(path.read_text())


def divide(icdar: epath.Path, folder: epath.Path, labelled: int) -> None:
    """Writes label files for few labels: `few.txt` and `hidden.txt`.

    Args:
        icdar: folder of the images.
        folder: of the split; has `train_900.txt`.
        labelled: how many of its first images go into `few.txt`, with their labels. The others go
            into `hidden.txt`, each with one ignored polygon that covers the image.
    """
    lines = (folder / ALL).read_text().splitlines()
    files.write_text(folder / FEW, "\n".join(lines[:labelled]) + "\n")
    hidden = []
    for path in (line.split("\t")[0] for line in lines[labelled:]):
        size = read_size(str(icdar / path))
        if size is None:
            raise UserError(f"{icdar / path}: cannot be read as an image")
        height, width = size
        corners = [[0, 0], [width, 0], [width, height], [0, height]]
        hidden.append(f"{path}\t{json.dumps([{'transcription': '###', 'points': corners}])}\n")
    files.write_text(folder / HIDDEN, "".join(hidden))


def update_s(records: Sequence[dict[str, Any]]) -> float:
    """Returns the median seconds per step of a run, which a short disturbance hardly moves."""
    rates = [record["images_per_s"] for record in records if record["kind"] == "train"]
    return plan.BATCH / statistics.median(rates)
