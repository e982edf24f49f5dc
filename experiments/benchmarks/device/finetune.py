"""Fine-tunes the student on ICDAR2015 in so many seconds, by the public commands.

A short run compiles the update and measures its rate; the second one has as many updates as fit
into what is left. Numbers and lengths of a schedule are inputs of the program, so it is not
compiled again. The best state is chosen on 100 held-out images, and the test set is scored once.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

CROP, BATCH, RATE, EVALUATIONS = 640, 32, 2e-3, 12
MEASURED, QUICK_MEASURED = 160, 60  # updates of the first run: waiting batches go by first
MARGIN = 0.93  # of the time that is left: rates fall where evaluations and saves come between
SCORING = 0.2  # of the time, at most, for evaluations
ROLE = "student_average"
TRAIN, TEST = "train_icdar2015_label.txt", "test_icdar2015_label.txt"
QUICK = (
    "--config.roles.student.backbone.scale=0.35",
    "--config.roles.student.neck.channels=16",
    "--config.data.draw.train=20", "--config.data.draw.val=4", "--config.data.draw.side=96",
    "--config.eval.limit_side=96", "--config.crop=64", "--config.batch_size=2",
)  # fmt: skip


def run(folder, quick, seconds, data, weights):
    """Rows on the fine-tune; the student and its record are put into the folder.

    Args:
        folder: of the run.
        quick: a narrow network on drawn scenes, without data and weights.
        seconds: that all of it may take.
        data: folder of ICDAR2015 with PaddleOCR's two label files.
        weights: of the published student.
    """
    end, folder = time.monotonic() + float(seconds), pathlib.Path(folder)
    runs = folder / "runs"
    shutil.rmtree(runs, ignore_errors=True)
    runs.mkdir(parents=True)
    options, batch, measured = choose(runs / "split", quick, data, weights)

    began = time.monotonic()
    train(runs / "measured", options, measured, measured, measured // 10)
    took = time.monotonic() - began
    facts = look_at(runs / "measured", batch)
    yield from ({**row, "what": f"measured: {row['what']}"} for row in facts.rows())

    # Three processes come: the run, which reads its programs, the test and the extraction.
    start = max(5.0, took - facts.compile_s - facts.updates_s)
    left = end - time.monotonic() - 3 * start - facts.test_s(4 if quick else 500)
    evaluations, updates = facts.fit(MARGIN * left)
    if updates < evaluations:
        raise SystemExit(f"error: {left:.0f} s are left, for {updates} updates: give it more")
    yield row("updates planned", updates)
    train(runs / "student", options, updates, -(-updates // evaluations), min(50, updates // 2),
          f"--config.time_limit_minutes={(left + start) / 60:.3f}")  # fmt: skip
    shutil.copy(runs / "student" / "metrics.jsonl", folder / "finetune.metrics.jsonl")
    yield from look_at(runs / "student", batch).rows()
    yield from score(runs / "student", folder, quick, data)
    call("extract", "--weights", runs / "student", "--role", ROLE,
         "--output", folder / "student.pdparams")  # fmt: skip


def choose(split, quick, data, weights):
    """`(options of train, images of a batch, updates of the first run)`; divides the data."""
    source = "configs/quickstart.py" if quick else "configs/ppocrv3_det_mobile.py"
    options = ["--config", source, f"--config.data.root={split}", f"--config.learning_rate={RATE}",
               "--config.average.decay=0.998", f"--config.best.role={ROLE}"]  # fmt: skip
    if quick:
        return [*options, *QUICK], 2, QUICK_MEASURED
    call("prepare_data", pathlib.Path(data) / TRAIN, "--output", split, "--val", 100, "--link")
    options += [
        "--config.data.train=train.txt", "--config.data.val=val.txt",
        f"--config.init_from.student={weights}", f"--config.crop={CROP}",
        f"--config.batch_size={BATCH}", "--config.dtype=bfloat16",
        f"--config.data.workers={max(0, os.cpu_count() - 2)}",
    ]  # fmt: skip
    return options, BATCH, MEASURED


def score(workdir, folder, quick, data):
    """Rows on the best state of a run and the test set, in float32."""
    place = () if quick else (f"--config.data.root={data}", f"--config.data.val={TEST}")
    call("evaluate", "--weights", workdir, "--config.dtype=float32", *place,
         "--output", folder / "test.json")  # fmt: skip
    metrics = json.loads((folder / "test.json").read_text().splitlines()[0])
    yield from (row(f"test {name}", metrics[name]) for name in ("precision", "recall", "hmean"))


def row(what, value, unit=""):
    return {"what": what, "value": float(value), "unit": unit}


def train(workdir, options, updates, every, log_every, *more):
    call("train", "--workdir", workdir, *options, f"--config.steps={updates}",
         f"--config.eval.every_steps={every}", f"--config.save.every_steps={every}",
         f"--config.log.every_steps={log_every}", "--config.log.writers=()", *more)  # fmt: skip


def call(command, *arguments):
    """Runs a command of the package; what it says goes to stderr, stdout holds our rows."""
    words = [sys.executable, "-m", f"ppocr_jax.{command}", *map(str, arguments)]
    print("+ " + " ".join(words), file=sys.stderr, flush=True)
    status = subprocess.run(words, stdout=sys.stderr, stdin=subprocess.DEVNULL).returncode
    if status:
        raise SystemExit(f"{command} ended with {status}")


def look_at(workdir, batch):
    """`Facts` of a run, from its records."""
    records = list(map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines()))
    if not {"train", "eval"} <= {record["kind"] for record in records}:
        raise SystemExit(f"error: {workdir}: ended before its first record: give it more minutes")
    return Facts(records, batch)


class Facts:
    """What the records of a run say of its speed and of its best state."""

    def __init__(self, records, batch):
        self.updates = [r for r in records if r["kind"] == "train"]
        self.scores = [r for r in records if r["kind"] == "eval" and r["role"] == ROLE]
        # At first batches have waited, in the end nobody makes more of them: both are faster.
        third = len(self.updates) // 3
        rates = sorted(r["images_per_s"] for r in self.updates[third : len(self.updates) - third])
        self.images_per_s = rates[len(rates) // 2]
        self.update_s = batch / self.images_per_s
        self.updates_s = self.updates[-1]["step"] * self.update_s
        every = [r for r in records if r["kind"] == "eval" and r["step"] == self.scores[-1]["step"]]
        # All roles are scored each time; the first time compiles.
        self.evaluation_s = sum(r["images"] / max(r["images_per_s"], 1e-9) for r in every)
        begun = next(r["time"] for r in records if r["kind"] == "start")
        steady = self.updates_s + self.evaluation_s
        self.compile_s = max(0.0, self.updates[-1]["time"] - begun - steady)

    def test_s(self, images):
        """Seconds that images of another size take at least, and the compilation for them."""
        last = self.scores[-1]
        return 2 * images / max(last["images_per_s"], 1e-9) + self.compile_s / 4

    def fit(self, seconds):
        """`(evaluations, updates)` that so many seconds are enough for."""
        evaluations = int(SCORING * seconds / max(self.evaluation_s, 1e-9))
        evaluations = max(2, min(EVALUATIONS, evaluations))
        return evaluations, int((seconds - evaluations * self.evaluation_s) / self.update_s)

    def rows(self):
        best = max(self.scores, key=lambda r: r["hmean"])
        yield row("rate", self.images_per_s, "images/s")
        yield row("waiting", 100 * self.updates[-1]["waiting_share"], "%")
        yield row("compiling and starting", self.compile_s, "s")
        yield row("one evaluation", self.evaluation_s, "s")
        yield row("updates", self.updates[-1]["step"])
        yield row("held-out hmean, best", best["hmean"])
        yield row("held-out hmean, best at", best["step"], "updates")
        yield row("held-out hmean, last", self.scores[-1]["hmean"])
