"""Fine-tunes the student on ICDAR2015 in limited time, with the public commands.

A short run compiles the training step and measures its rate. A second run takes as many steps as
fit into the rest of the time. The learning rate and the length of a schedule are inputs of the
program, so it is not compiled again. The best checkpoint is chosen on 100 held-out images, and the
test set is scored once.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

CROP, BATCH, RATE, EVALUATIONS = 640, 32, 2e-3, 12
# Steps of the first run: enough to use up the batches that were prepared during compilation, since
# a rate measured with those would be too high.
MEASURED, QUICK_MEASURED = 160, 60
MARGIN = 0.93  # of the remaining time is planned: evaluations and checkpoints slow training down
SCORING = 0.2  # largest share of the time for evaluations
ROLE = "student_average"
TRAIN, TEST = "train_icdar2015_label.txt", "test_icdar2015_label.txt"
QUICK = (
    "--config.roles.student.backbone.scale=0.35",
    "--config.roles.student.neck.channels=16",
    "--config.data.draw.train=20", "--config.data.draw.val=4", "--config.data.draw.side=96",
    "--config.eval.limit_side=96", "--config.crop=64", "--config.batch_size=2",
)  # fmt: skip


def run(
    folder: str | os.PathLike[str], quick: bool, seconds: str, data: str, weights: str
) -> Iterator[dict[str, Any]]:
    """Fine-tunes, yields rows about it, and leaves the student and its log in the folder.

    Args:
        folder: of the run.
        quick: a narrow network on synthetic scenes, without data and weights.
        seconds: for everything together.
        data: folder of ICDAR2015 with PaddleOCR's two label files.
        weights: of the published student.

    Raises:
        SystemExit: a command failed, or there is not enough time.
    """
    end, folder = time.monotonic() + float(seconds), pathlib.Path(folder)
    runs = folder / "runs"
    shutil.rmtree(runs, ignore_errors=True)
    runs.mkdir(parents=True)
    options, batch, measured = choose(runs / "split", quick, data, weights)

    # A short run: compiles, and tells how long steps and evaluations take.
    began = time.monotonic()
    train(runs / "measured", options, measured, measured, measured // 10)
    took = time.monotonic() - began
    facts = read_facts(runs / "measured", batch)
    yield from ({**row, "what": f"measured: {row['what']}"} for row in facts.rows())

    # As many steps as fit. Three processes still have to start: training, which loads its compiled
    # programs, the test and the extraction.
    start = max(5.0, took - facts.compile_s - facts.updates_s)
    left = end - time.monotonic() - 3 * start - facts.test_s(4 if quick else 500)
    evaluations, updates = facts.fit(MARGIN * left)
    if updates < evaluations:
        raise SystemExit(f"error: {left:.0f} s left, enough for {updates} steps: give it more time")
    yield row("steps planned", updates)
    train(runs / "student", options, updates, -(-updates // evaluations), min(50, updates // 2),
          f"--config.time_limit_minutes={(left + start) / 60:.3f}")  # fmt: skip

    # Its log, its test score and its weights.
    shutil.copy(runs / "student" / "metrics.jsonl", folder / "finetune.metrics.jsonl")
    yield from read_facts(runs / "student", batch).rows()
    yield from score(runs / "student", folder, quick, data)
    call("extract", "--weights", runs / "student", "--role", ROLE,
         "--output", folder / "student.pdparams")  # fmt: skip


def choose(split: pathlib.Path, quick: bool, data: str, weights: str) -> tuple[list[str], int, int]:
    """Returns `(options of train, images per batch, steps of the first run)`; splits the data."""
    source = "configs/quickstart.py" if quick else "configs/ppocrv3_det_mobile.py"
    options = ["--config", source, f"--config.data.root={split}", f"--config.learning_rate={RATE}",
               "--config.average.decay=0.998", f"--config.best.role={ROLE}"]  # fmt: skip
    if quick:  # the config makes its own scenes
        return [*options, *QUICK], 2, QUICK_MEASURED
    call("prepare_data", pathlib.Path(data) / TRAIN, "--output", split, "--val", 100, "--link")
    options += [
        "--config.data.train=train.txt", "--config.data.val=val.txt",
        f"--config.init_from.student={weights}", f"--config.crop={CROP}",
        f"--config.batch_size={BATCH}", "--config.dtype=bfloat16",
    ]  # fmt: skip
    return options, BATCH, MEASURED


def score(
    workdir: pathlib.Path, folder: pathlib.Path, quick: bool, data: str
) -> Iterator[dict[str, Any]]:
    """Yields the test metrics of a run's best checkpoint, in float32."""
    place = () if quick else (f"--config.data.root={data}", f"--config.data.val={TEST}")
    call("evaluate", "--weights", workdir, "--config.dtype=float32", *place,
         "--output", folder / "test.json")  # fmt: skip
    metrics = json.loads((folder / "test.json").read_text().splitlines()[0])
    yield from (row(f"test {name}", metrics[name]) for name in ("precision", "recall", "hmean"))


def row(what: str, value: float, unit: str = "") -> dict[str, Any]:
    """Returns one row."""
    return {"what": what, "value": float(value), "unit": unit}


def train(
    workdir: pathlib.Path,
    options: Sequence[str],
    updates: int,
    every: int,
    log_every: int,
    *more: str,
) -> None:
    """Trains with the public command.

    Args:
        workdir: of the run.
        options: from `choose`.
        updates: how many steps.
        every: steps between evaluations, and between checkpoints.
        log_every: steps between log records.
        more: further options.
    """
    call("train", "--workdir", workdir, *options, f"--config.steps={updates}",
         f"--config.eval.every_steps={every}", f"--config.save.every_steps={every}",
         f"--config.log.every_steps={log_every}", "--config.log.writers=()", *more)  # fmt: skip


def call(command: str, *arguments: object) -> None:
    """Runs a command of the package; all its output goes to stderr, since stdout has our rows.

    Raises:
        SystemExit: it failed.
    """
    words = [sys.executable, "-m", f"ppocr_jax.{command}", *map(str, arguments)]
    print("+ " + " ".join(words), file=sys.stderr, flush=True)
    status = subprocess.run(words, stdout=sys.stderr, stdin=subprocess.DEVNULL).returncode
    if status:
        raise SystemExit(f"{command} exited with {status}")


def read_facts(workdir: pathlib.Path, batch: int) -> "Facts":
    """Reads the `Facts` of a run from its log; `batch` is its images per batch.

    Raises:
        SystemExit: the log has no training record or no evaluation.
    """
    records = list(map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines()))
    if not {"train", "eval"} <= {record["kind"] for record in records}:
        raise SystemExit(f"error: {workdir}: ended before its first log record: give it more time")
    return Facts(records, batch)


class Facts:
    """The speed and the best score of a run, from its log records.

    Args:
        records: of `metrics.jsonl`.
        batch: images per batch.

    Attributes:
        updates, scores: training records, and evaluations of the averaged weights.
        images_per_s, update_s: rate of training, and seconds per step.
        updates_s, evaluation_s: seconds of all steps, and of one evaluation of all roles.
        compile_s: the rest of the time until the last record: start and compilation.
    """

    def __init__(self, records: Sequence[dict[str, Any]], batch: int) -> None:
        self.updates = [r for r in records if r["kind"] == "train"]
        self.scores = [r for r in records if r["kind"] == "eval" and r["role"] == ROLE]
        # The rate is the median of the middle third. At first batches are waiting already, and in
        # the end the workers have nothing left to do: both are faster than steady training.
        third = len(self.updates) // 3
        rates = sorted(r["images_per_s"] for r in self.updates[third : len(self.updates) - third])
        self.images_per_s = rates[len(rates) // 2]
        self.update_s = batch / self.images_per_s
        self.updates_s = self.updates[-1]["step"] * self.update_s
        every = [r for r in records if r["kind"] == "eval" and r["step"] == self.scores[-1]["step"]]
        # All roles are scored each time. The last time: the first one compiles.
        self.evaluation_s = sum(r["images"] / max(r["images_per_s"], 1e-9) for r in every)
        begun = next(r["time"] for r in records if r["kind"] == "start")
        steady = self.updates_s + self.evaluation_s
        self.compile_s = max(0.0, self.updates[-1]["time"] - begun - steady)

    def test_s(self, images: int) -> float:
        """Estimates the seconds to evaluate the test set, which compiles for its image sizes.

        Assumes half the speed of the held-out images, which were scored in bfloat16, and a quarter
        of the compile time of training.
        """
        last = self.scores[-1]
        return 2 * images / max(last["images_per_s"], 1e-9) + self.compile_s / 4

    def fit(self, seconds: float) -> tuple[int, int]:
        """Returns the `(evaluations, steps)` that fit into this many seconds."""
        evaluations = int(SCORING * seconds / max(self.evaluation_s, 1e-9))
        evaluations = max(2, min(EVALUATIONS, evaluations))
        return evaluations, int((seconds - evaluations * self.evaluation_s) / self.update_s)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yields rows with the speed and the scores of the run."""
        best = max(self.scores, key=lambda r: r["hmean"])
        yield row("rate", self.images_per_s, "images/s")
        yield row("waiting", 100 * self.updates[-1]["waiting_share"], "%")
        yield row("compiling and starting", self.compile_s, "s")
        yield row("one evaluation", self.evaluation_s, "s")
        yield row("steps", self.updates[-1]["step"])
        yield row("held-out hmean, best", best["hmean"])
        yield row("held-out hmean, best at", best["step"], "steps")
        yield row("held-out hmean, last", self.scores[-1]["hmean"])
