"""Runs that are made, or found done, in one workdir; the tables and the curve."""

import json
import statistics

from etils import epath

from experiments import recipe
from experiments.distillation import plan
from experiments.finetune_sizes.stages import TEST, split
from ppocr_jax import config as configs
from ppocr_jax import config_files, files


class Stages:
    """The runs of a workdir. Done again, a run goes on where it stopped; a done one is read.

    Args:
        icdar: folder of ICDAR2015 with PaddleOCR's two label files.
        init: weights that every student begins with.
        teacher: weights of the frozen teacher, of any network that a shipped config has.
        workdir: of all runs.
    """

    def __init__(self, icdar, init, teacher, workdir):
        self.icdar = epath.Path(icdar).resolve()
        self.init, self.teacher = (str(epath.Path(path).resolve()) for path in (init, teacher))
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
            config = plan.make_config(run, self._network)
            config.data.root = str(self.icdar)
            config.data.train = str(self.splits / "train_900.txt")
            config.data.val = str(self.splits / "val.txt")
            for role in run.trainable:
                config.init_from[role] = self.init
            if run.taught:
                config.init_from.teacher = self.teacher
            path = self.workdir / f"{run.name}.json"
            configs.save(config, path)
            recipe.run("train", "--config", path, "--workdir", workdir)
            files.write_text(done, "")
        return [json.loads(line) for line in (workdir / "metrics.jsonl").open()]

    def score(self, run):
        """The metrics of a run's best state on the test set, which is scored once."""
        self.train(run)
        output = self.workdir / f"{run.name}_test.json"
        if not output.exists():
            recipe.run("evaluate", "--weights", self.workdir / run.name,
                       f"--config.data.val={TEST}", "--output", output)  # fmt: skip
        return json.loads(output.read_text().splitlines()[0])

    def teacher_score(self):
        """The teacher's metrics on the test set, at the sizes and thresholds of the students."""
        output = self.workdir / "teacher_test.json"
        if not output.exists():
            recipe.run("evaluate", "--weights", self.teacher, f"--config.data.root={self.icdar}",
                       f"--config.data.val={TEST}", "--output", output)  # fmt: skip
        return json.loads(output.read_text().splitlines()[0])

    def ratio(self):
        """An update of CML in times of one alone: what the runs themselves took, settled once."""
        path = self.workdir / "ratio.json"
        if not path.exists():
            alone, taught = (
                statistics.median(update_s(self.train(make(seed))) for seed in plan.SEEDS)
                for make in (plan.alone, plan.taught)
            )
            files.write_json(path, {"alone_s": alone, "cml_s": taught, "ratio": taught / alone})
        return json.loads(path.read_text())


def update_s(records):
    """Seconds of an update of a run: the median of its records, which a busy hour moves least."""
    rates = [record["images_per_s"] for record in records if record["kind"] == "train"]
    return plan.BATCH / statistics.median(rates)


def curve(records, role=plan.JUDGED):
    """`[(step, hmean)]` of a role on the held-out images."""
    scored = [record for record in records if record["kind"] == "eval"]
    return [(record["step"], record["hmean"]) for record in scored if record["role"] == role]


def updates_table(stages):
    """CML against the student alone after as many updates, as lines of Markdown."""
    lines = [
        "| seed | alone: P, R | alone: hmean | CML: P, R | CML: hmean | gain |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    gains = []
    for seed in plan.SEEDS:
        scores = [stages.score(make(seed)) for make in (plan.alone, plan.taught)]
        gains.append(scores[1]["hmean"] - scores[0]["hmean"])
        cells = [cell for score in scores for cell in (pair(score), f"{score['hmean']:.4f}")]
        lines.append("| " + " | ".join([str(seed), *cells, f"{gains[-1]:+.4f}"]) + " |")
    mean = statistics.mean(gains)
    return [*lines, f"| **mean** | | | | | **{mean:+.4f}** |", "", (
        f"CML is ahead by {mean:+.4f} on average, by {min(gains):+.4f} in the worst seed. The "
        f"teacher has {stages.teacher_score()['hmean']:.4f}."
    )]  # fmt: skip


def time_table(stages):
    """CML against the student alone for as long, as lines of Markdown."""
    measured = stages.ratio()
    lines = ["| seed | alone, updates | alone: hmean | CML: hmean | gain |", "| --- " * 5 + "|"]
    gains = []
    for seed in plan.SEEDS:
        run = plan.as_long(seed, measured["ratio"])
        alone, taught = (stages.score(r)["hmean"] for r in (run, plan.taught(seed)))
        gains.append(taught - alone)
        lines.append(f"| {seed} | {run.steps} | {alone:.4f} | {taught:.4f} | {gains[-1]:+.4f} |")
    return [*lines, f"| **mean** | | | | **{statistics.mean(gains):+.4f}** |", "", (
        f"An update takes {measured['alone_s']:.2f} s alone, {measured['cml_s']:.2f} s by CML: "
        f"{measured['ratio']:.2f} times as long."
    )]  # fmt: skip


def pair(score):
    """Precision and recall of a score."""
    return f"{score['precision']:.4f}, {score['recall']:.4f}"


def draw_curve(stages, path):
    """A picture of held-out hmean over updates, of the runs that are done."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6))
    for make, style in ((plan.alone, "C0o--"), (plan.taught, "C1o-")):
        for seed in plan.SEEDS:
            label = {plan.alone: "alone", plan.taught: "CML"}[make] if seed == plan.SEEDS[0] else ""
            steps, values = zip(*curve(stages.train(make(seed))), strict=True)
            axes.plot(steps, values, style, label=label or None)
    axes.set(xlabel="updates", ylabel="held-out hmean, averaged weights")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    plt.close(figure)
