"""Runs that are made, or found done, in one workdir, and what they say."""

import json
import statistics

from etils import epath

from experiments import recipe
from experiments.distillation import plan
from experiments.finetune_sizes.stages import TEST, curve, late, split
from ppocr_jax import config as configs
from ppocr_jax import config_files, files
from ppocr_jax.data.image_files import read_size

ALL, FEW, HIDDEN = f"train_{plan.PICTURES}.txt", "few.txt", "hidden.txt"


class Stages:
    """The runs of a workdir. Done again, a run goes on where it stopped; a done one is read.

    Args:
        icdar: folder of ICDAR2015 with PaddleOCR's two label files.
        student: weights that students begin with.
        teacher: weights of the frozen teacher, of any network that a shipped config has.
        workdir: of all runs.
    """

    def __init__(self, icdar, student, teacher, workdir):
        self.icdar = epath.Path(icdar).resolve()
        self.student, self.teacher = (str(epath.Path(p).resolve()) for p in (student, teacher))
        self.workdir = epath.Path(workdir).resolve()
        self.splits = self.workdir / "splits"
        self.splits.mkdir(parents=True, exist_ok=True)
        split(self.icdar / "train_icdar2015_label.txt", self.splits)
        divide(self.icdar, self.splits, plan.LABELLED["few"])
        found, _ = config_files.open_config(str(config_files.find_for(self.teacher)), found=True)
        self._network = found.roles[found.best.role]

    def train(self, run):
        """The records of a run, after it was trained to its end."""
        workdir, done = self.workdir / run.name, self.workdir / f"{run.name}.done"
        if not done.exists():
            path = self.workdir / f"{run.name}.json"
            configs.save(self._with_paths(run), path)
            recipe.run("train", "--config", path, "--workdir", workdir)
            files.write_text(done, "")
        return [json.loads(line) for line in (workdir / "metrics.jsonl").open()]

    def _with_paths(self, run):
        config, few = plan.make_config(run, self._network), run.case == "few"
        config.data.root = str(self.icdar)
        config.data.train = str(self.splits / (FEW if few else ALL))
        config.data.augment.wordless = "random" if few else "whole"
        if run.taught and few:
            config.data.train += f",{self.splits / HIDDEN}"
            labelled = plan.LABELLED["few"]
            config.data.ratios = (1.0, labelled / (plan.PICTURES - labelled))  # as many of both
        config.data.val = str(self.splits / "val.txt")
        for role in run.trainable:
            config.init_from[role] = self.student
        if run.taught:
            config.init_from.teacher = self.teacher
        return config

    def held_out(self, run):
        """Mean hmean of the last two evaluations on the held-out images."""
        return late(curve(self.train(run), plan.JUDGED))

    def score(self, run):
        """The metrics of a run's best state on the test set, which is scored once."""
        self.train(run)
        return self._evaluate(self.workdir / run.name, self.workdir / f"{run.name}_test.json")

    def score_teacher(self):
        """The teacher's metrics on the test set, with the sizes and thresholds of the students."""
        return self._evaluate(self.teacher, self.workdir / "teacher_test.json")

    def _evaluate(self, weights, output):
        if not output.exists():
            data = {"root": self.icdar, "val": TEST}
            options = [f"--config.data.{key}={value}" for key, value in data.items()]
            recipe.run("evaluate", "--weights", weights, *options, "--output", output)
        return json.loads(output.read_text().splitlines()[0])

    def ratio(self):
        """An update of CML in times of one alone, as the compared runs took; settled once."""
        path = self.workdir / "ratio.json"
        if not path.exists():
            alone, taught = (
                statistics.median(update_s(self.train(make(seed))) for seed in plan.SEEDS)
                for make in (plan.alone, plan.taught)
            )
            files.write_json(path, {"alone_s": alone, "cml_s": taught, "ratio": taught / alone})
        return json.loads(path.read_text())


def divide(icdar, folder, labelled):
    """Label files of the first training images, and of the others, each ignored as a whole."""
    lines = (folder / ALL).read_text().splitlines()
    files.write_text(folder / FEW, "\n".join(lines[:labelled]) + "\n")
    hidden = []
    for path in (line.split("\t")[0] for line in lines[labelled:]):
        height, width = read_size(str(icdar / path))
        corners = [[0, 0], [width, 0], [width, height], [0, height]]
        hidden.append(f"{path}\t{json.dumps([{'transcription': '###', 'points': corners}])}\n")
    files.write_text(folder / HIDDEN, "".join(hidden))


def update_s(records):
    """Seconds of an update of a run: the median of its records, which a busy hour moves least."""
    rates = [record["images_per_s"] for record in records if record["kind"] == "train"]
    return plan.BATCH / statistics.median(rates)
