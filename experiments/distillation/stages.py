"""Runs that are made, or found done, in one workdir, and what they say."""

import json
import statistics

from etils import epath

from experiments import recipe
from experiments.distillation import plan
from experiments.finetune_sizes.stages import TEST, curve, late, split
from ppocr_jax import config as configs
from ppocr_jax import config_files, files


class Stages:
    """The runs of a workdir. Done again, a run goes on where it stopped; a done one is read.

    Args:
        icdar: folder of ICDAR2015 with PaddleOCR's two label files.
        starts: `{name of plan.STARTS: weights that the students begin with}`.
        teacher: weights of the frozen teacher, of any network that a shipped config has.
        workdir: of all runs.
    """

    def __init__(self, icdar, starts, teacher, workdir):
        self.icdar = epath.Path(icdar).resolve()
        self.starts = {name: str(epath.Path(path).resolve()) for name, path in starts.items()}
        self.teacher = str(epath.Path(teacher).resolve())
        self.workdir = epath.Path(workdir).resolve()
        self.splits = self.workdir / "splits"
        self.splits.mkdir(parents=True, exist_ok=True)
        split(self.icdar / "train_icdar2015_label.txt", self.splits)
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
        config = plan.make_config(run, self._network)
        config.data.root = str(self.icdar)
        config.data.train = str(self.splits / "train_900.txt")
        config.data.val = str(self.splits / "val.txt")
        for role in run.trainable:
            config.init_from[role] = self.starts[run.start]
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

    def choose(self):
        """`(start, teaching)`: where CML gains most on the held-out images of the short runs."""
        gains = {}
        for start in plan.STARTS:
            alone = self.held_out(plan.a_try(start, plan.ALONE))
            for teaching in plan.TEACHINGS:
                gains[start, teaching] = self.held_out(plan.a_try(start, teaching)) - alone
        return max(gains, key=gains.get)

    def ratio(self):
        """An update of CML in times of one alone, as the compared runs took; settled once."""
        path = self.workdir / "ratio.json"
        if not path.exists():
            start, teaching = self.choose()
            alone, taught = (
                statistics.median(update_s(self.train(plan.Run(start, how, s))) for s in plan.SEEDS)
                for how in (plan.ALONE, teaching)
            )
            files.write_json(path, {"alone_s": alone, "cml_s": taught, "ratio": taught / alone})
        return json.loads(path.read_text())


def update_s(records):
    """Seconds of an update of a run: the median of its records, which a busy hour moves least."""
    rates = [record["images_per_s"] for record in records if record["kind"] == "train"]
    return plan.BATCH / statistics.median(rates)
