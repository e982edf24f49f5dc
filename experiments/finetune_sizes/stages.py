"""Runs that are made, or found done, in one workdir; what is chosen by them, and the tables."""

import json
import random

from etils import epath

from experiments import recipe
from experiments.finetune_sizes import plan
from ppocr_jax import files

AVERAGE, RAW = "student_average", "student"
TEST = "test_icdar2015_label.txt"


def split(labels, folder):
    """Label files of the held-out images and of the first 50, 200 and 900 of the others.

    Shuffled by seed 0, so that the held-out images are the ones of ../icdar2015_finetune.
    """
    lines = [line for line in epath.Path(labels).read_text().splitlines() if line.strip()]
    random.Random(0).shuffle(lines)
    held_out, rest = lines[: plan.HELD_OUT], lines[plan.HELD_OUT :]
    parts = {"val.txt": held_out} | {f"train_{n}.txt": rest[:n] for n in plan.SIZES}
    for name, part in parts.items():
        files.write_text(folder / name, "\n".join(part) + "\n")


class Stages:
    """The runs of a workdir. Done again, a run goes on where it stopped; a done one is read."""

    def __init__(self, icdar, student, workdir):
        self.icdar, self.student = epath.Path(icdar).resolve(), str(epath.Path(student).resolve())
        self.workdir = epath.Path(workdir).resolve()
        self.splits = self.workdir / "splits"
        self.splits.mkdir(parents=True, exist_ok=True)
        split(self.icdar / "train_icdar2015_label.txt", self.splits)

    def train(self, run):
        """The records of a run, after it was trained to its end."""
        workdir, done = self.workdir / run.name, self.workdir / f"{run.name}.done"
        if not done.exists():
            workdir.parent.mkdir(parents=True, exist_ok=True)
            keys = {
                "data.root": self.icdar,
                "data.train": self.splits / run.train,
                "data.val": self.splits / "val.txt",
                "init_from.student": self.student,
                **run.keys,
            }
            options = [f"--config.{key}={value}" for key, value in keys.items()]
            recipe.run("train", "--config", run.config, "--workdir", workdir, *options)
            files.write_text(done, "")
        return [json.loads(line) for line in (workdir / "metrics.jsonl").open()]

    def test_hmean(self, run):
        """Of a run's best state on the test set, which is scored once."""
        self.train(run)
        output = self.workdir / f"{run.name}_test.json"
        if not output.exists():
            recipe.run("evaluate", "--weights", self.workdir / run.name,
                       f"--config.data.val={TEST}", "--output", output)  # fmt: skip
        return json.loads(output.read_text().splitlines()[0])["hmean"]

    def choose(self, size, begin):
        """Settings for so many images, by the average on the held-out images, key after key.

        Args:
            size: training images.
            begin: settings to begin with.

        Returns:
            `(settings, late hmean of the network, late hmean of its average)`.
        """
        settings, seed = dict(begin), plan.SEARCH_SEED
        best = late(curve(self.train(plan.size_run(size, settings, seed)), AVERAGE))
        for key, values in plan.ROUNDS[size]:
            for other in [{**settings, key: value} for value in values]:
                found = late(curve(self.train(plan.size_run(size, other, seed)), AVERAGE))
                if found > best + plan.GAIN:
                    settings, best = other, found
        records = self.train(plan.size_run(size, settings, seed))
        raw = late(curve(records, RAW))
        return settings | {"best.role": RAW if raw > best else AVERAGE}, raw, best


def curve(records, role):
    """`[(step, hmean)]` of a role on the held-out images."""
    scored = [record for record in records if record["kind"] == "eval"]
    return [(record["step"], record["hmean"]) for record in scored if record["role"] == role]


def late(curve):
    """Mean hmean of the last two evaluations."""
    return sum(hmean for _, hmean in curve[-2:]) / 2


def unrest(curve):
    """Mean absolute difference of consecutive evaluations after a third of the run."""
    last = curve[-1][0]
    values = [hmean for step, hmean in curve if step >= last / 3]
    return sum(abs(b - a) for a, b in zip(values, values[1:], strict=False)) / (len(values) - 1)


def minutes(records):
    """That a run took, without the pauses between its attempts: each begins with `start`."""
    pairs = zip(records, records[1:], strict=False)
    return sum(b["time"] - a["time"] for a, b in pairs if b["kind"] != "start") / 60


def averaging_table(stages):
    """Raw and averaged by seed, and what that shows, as lines of Markdown."""
    lines = [
        "| seed | unrest raw | unrest averaged | test hmean raw | test hmean averaged |",
        "| --- | --- | --- | --- | --- |",
    ]
    rows = []
    for seed in plan.SEEDS:
        averaged, raw = plan.averaging_run(seed, True), plan.averaging_run(seed, False)
        records = stages.train(averaged)
        rows.append([
            *(unrest(curve(records, role)) for role in (RAW, AVERAGE)),
            *(stages.test_hmean(run) for run in (raw, averaged)),
        ])  # fmt: skip
        lines.append("| " + " | ".join([str(seed), *(f"{value:.4f}" for value in rows[-1])]) + " |")
    mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    lines.append("| **mean** | " + " | ".join(f"**{value:.4f}**" for value in mean) + " |")
    return [*lines, "", (
        f"The average moves {mean[1] / mean[0]:.2f} as much from one evaluation to the next as the "
        f"network itself, and finds {mean[3] - mean[2]:+.4f} of hmean on the test set."
    )]  # fmt: skip


def sizes_table(stages):
    """What each number of images gives, as lines of Markdown."""
    lines = [
        "| images | rate | steps | crop | scale | share | best by | held-out raw, averaged | "
        "test hmean of two seeds | mean | minutes |",
        "| --- " * 11 + "|",
    ]
    found, begin = {}, plan.START
    for size in plan.ROUNDS:
        found[size] = stages.choose(size, begin)
        begin = next(iter(found.values()))[0] | {"best.role": plan.START["best.role"]}
    for size, (settings, raw, averaged) in sorted(found.items()):
        runs = [plan.size_run(size, settings, seed) for seed in plan.SCORED_SEEDS]
        tested = [stages.test_hmean(run) for run in runs]
        took = [minutes(stages.train(run)) for run in runs]
        low, high = settings["data.augment.scale"]
        cells = [
            size, f"{settings['learning_rate']:g}", settings["steps"], settings["crop"],
            f"{low:g} to {high:g}", f"{settings['average.share']:g}", settings["best.role"],
            f"{raw:.4f}, {averaged:.4f}", ", ".join(f"{value:.4f}" for value in tested),
            f"**{sum(tested) / len(tested):.4f}**", ", ".join(f"{value:.1f}" for value in took),
        ]  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines
