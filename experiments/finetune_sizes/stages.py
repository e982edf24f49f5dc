"""Trains and scores the runs of one workdir, chooses settings by them, and makes the tables."""

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from experiments import recipe
from experiments.finetune_sizes import plan
from ppocr_jax import files

AVERAGE, RAW = "student_average", "student"
TEST = "test_icdar2015_label.txt"
Curve = list[tuple[int, float]]  # [(step, held-out hmean)]


def split(labels: epath.PathLike, folder: epath.Path) -> None:
    """Writes label files of the held-out images and of the first 50, 200 and 900 other images.

    Args:
        labels: PaddleOCR's label file of the training images. It is shuffled with seed 0, which
            gives the held-out images of ../icdar2015_finetune.
        folder: for `val.txt`, `train_50.txt`, `train_200.txt` and `train_900.txt`.
    """
    lines = [line for line in epath.Path(labels).read_text().splitlines() if line.strip()]
    random.Random(0).shuffle(lines)
    held_out, rest = lines[: plan.HELD_OUT], lines[plan.HELD_OUT :]
    parts = {"val.txt": held_out} | {f"train_{n}.txt": rest[:n] for n in plan.SIZES}
    for name, part in parts.items():
        files.write_text(folder / name, "\n".join(part) + "\n")


class Stages:
    """The runs of a workdir. An unfinished run resumes; the results of a finished one are read.

    Args:
        icdar: folder of ICDAR2015 with PaddleOCR's two label files.
        student: weights from which all runs start.
        workdir: folder for all runs.
    """

    def __init__(
        self, icdar: epath.PathLike, student: epath.PathLike, workdir: epath.PathLike
    ) -> None:
        self.icdar, self.student = epath.Path(icdar).resolve(), str(epath.Path(student).resolve())
        self.workdir = epath.Path(workdir).resolve()
        self.splits = self.workdir / "splits"
        self.splits.mkdir(parents=True, exist_ok=True)
        split(self.icdar / "train_icdar2015_label.txt", self.splits)

    def train(self, run: plan.Run) -> list[dict[str, Any]]:
        """Trains a run to its end, if it is not done yet, and returns its log records."""
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

    def test_hmean(self, run: plan.Run) -> float:
        """Returns the test hmean of a run's best checkpoint; evaluates it only once."""
        self.train(run)
        output = self.workdir / f"{run.name}_test.json"
        if not output.exists():
            recipe.run("evaluate", "--weights", self.workdir / run.name,
                       f"--config.data.val={TEST}", "--output", output)  # fmt: skip
        return json.loads(output.read_text().splitlines()[0])["hmean"]

    def choose(self, size: int, begin: Mapping[str, Any]) -> tuple[dict[str, Any], float, float]:
        """Chooses the settings for a number of images, by the averaged weights' held-out hmean.

        Args:
            size: how many training images.
            begin: settings to start from.

        Returns:
            `(settings, late hmean of the network, late hmean of its average)`, see `late`.
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
        # Which of the two to select by is chosen last: it needs no further run.
        return settings | {"best.role": RAW if raw > best else AVERAGE}, raw, best


def curve(records: Sequence[dict[str, Any]], role: str) -> Curve:
    """Returns `[(step, hmean)]` of a role on the held-out images."""
    scored = [record for record in records if record["kind"] == "eval"]
    return [(record["step"], record["hmean"]) for record in scored if record["role"] == role]


def late(curve: Curve) -> float:
    """Returns the mean hmean of the last two evaluations: steadier than either of them."""
    return sum(hmean for _, hmean in curve[-2:]) / 2


def unrest(curve: Curve) -> float:
    """Returns the mean absolute difference of consecutive evaluations after a third of the run."""
    last = curve[-1][0]
    values = [hmean for step, hmean in curve if step >= last / 3]
    return sum(abs(b - a) for a, b in zip(values, values[1:], strict=False)) / (len(values) - 1)


def minutes(records: Sequence[dict[str, Any]]) -> float:
    """Returns the minutes of a run, without the time between its attempts.

    Each attempt begins with a record of kind `start`, so the time before such a record is a pause.
    """
    pairs = zip(records, records[1:], strict=False)
    return sum(b["time"] - a["time"] for a, b in pairs if b["kind"] != "start") / 60


def averaging_table(stages: Stages) -> list[str]:
    """Compares the network with its averaged weights, by seed: lines of Markdown."""
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
        f"From one evaluation to the next the averaged weights' hmean moves "
        f"{mean[1] / mean[0]:.2f} times as much as the network's. "
        f"Their test hmean differs by {mean[3] - mean[2]:+.4f}."
    )]  # fmt: skip


def sizes_table(stages: Stages) -> list[str]:
    """The chosen settings and test hmean for each number of images: lines of Markdown."""
    lines = [
        "| images | rate | steps | crop | scale | share | best by | held-out raw, averaged | "
        "test hmean of two seeds | mean | minutes |",
        "| --- " * 11 + "|",
    ]
    found: dict[int, tuple[dict[str, Any], float, float]] = {}
    begin: Mapping[str, Any] = plan.START
    for size in plan.ROUNDS:
        found[size] = stages.choose(size, begin)
        # The other sizes start from the first one's settings, and select by the average again.
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
