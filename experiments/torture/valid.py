"""Valid inputs, made by the commands under test, and how undisturbed commands behave on them."""

import json
import pathlib
import re
import shutil
import signal
import socket
from typing import Any

import cv2
import numpy as np

from experiments.torture.commands import Outcome, Server
from experiments.torture.judge import Failure, judge

WORDS = 3  # in each picture
LONGEST = 300  # seconds that an undisturbed command may take on a busy machine
CONFIG = """
from configs import parts

SMALL = dict(
    backbone=dict(name="ResNetVD", depths=(1, 1, 1, 1), width=8),
    neck=dict(name="DBFPN", channels=16),
    head=dict(name="DBHead", kernels=(3, 2, 2), k=50.0),
)


def get_config():
    config = parts.base(epochs=1)
    config.roles = dict(student=SMALL)
    config.trainable = ("student",)
    config.init_from = parts.init_from(config.roles)
    config.loss = parts.losses(labels=("student",))
    config.data.root = {root!r}
    config.data.train, config.data.val = "train.txt", "val.txt"
    config.data.augment.scale, config.data.augment.rotate = (0.9, 1.2), (-1.0, 1.0)
    config.data.augment.min_crop_side = 0.5
    config.data.prefetch_mb = 1
    config.steps, config.batch_size, config.crop = 240, 4, 64
    config.learning_rate, config.warmup_epochs = 1e-2, 0.5
    config.eval.limit_side, config.eval.every_steps = 96, 60
    config.eval.pictures, config.postprocess.box_thresh = 1, 0.5
    config.save.every_steps = config.log.every_steps = 60
    return config
"""
SHORT = (  # overrides of a run that is stopped, killed and resumed many times
    "--config.steps=16", "--config.eval.every_steps=8", "--config.save.every_steps=2",
    "--config.log.every_steps=1", "--config.learning_rate=1e-3",
)  # fmt: skip


class ValidInputs:
    """Valid inputs in one folder, by name, and how undisturbed commands behave on them.

    `data/`: pictures with `train.txt` and `val.txt`; `config.py`; `run/`: the workdir of a trained
    network; `short/`: of a run of few steps; `half/`: of the same run, stopped half way;
    `extracted/`, `net.onnx`, `net.pdparams`: the network of `run`.

    Args:
        folder: for all of that.
        server: starts the commands.

    Attributes:
        good: `{name: Outcome}` of undisturbed commands.
        needs: `{command: (seconds, peak MB)}` of undisturbed commands.
    """

    def __init__(self, folder: pathlib.Path, server: Server) -> None:
        self.folder, self._server = folder, server
        self.good: dict[str, Outcome] = {}
        self.needs: dict[str, tuple[float, float]] = {}
        self.config = self.folder / "config.py"

    def path(self, name: str) -> pathlib.Path:
        """Path of an input, by its name."""
        return self.folder / name

    def short(self, workdir: pathlib.Path, *more: str) -> tuple[Any, ...]:
        """Arguments of `train` for a run of few steps."""
        return ("--config", self.config, "--workdir", workdir, *SHORT, *more)

    def build(self, pair: bool = True) -> None:
        """Makes all inputs.

        Args:
            pair: whether also a run of two processes.

        Raises:
            Failure: a command does not accept valid input.
        """
        # Pictures, and training runs: complete, short, two processes, stopped and resumed.
        make_data(self.path("data"))
        self.config.write_text(CONFIG.format(root=str(self.path("data"))))
        run, view = self.path("run"), self.path("view")
        self._run("train", "train", "--config", self.config, "--workdir", run)
        self._run("short", "train", *self.short(self.path("short")))
        if pair:
            self._run_pair()
        self._stop_half_way()
        self._run("continued", "train", *self.short(self._copy("half", "continued")))
        # The trained network in its other forms, then every command that reads one.
        for name, output in (("extract", "extracted"), ("to_pdparams", "net.pdparams")):
            argv = ("--weights", run, "--role", "student", "--output", self.path(output))
            self._run(name, "extract", *argv)
        self._run("export", "export", "--weights", run, "--output", self.path("net.onnx"))
        for name in ("run", "extracted", "net.onnx", "net.pdparams"):
            self._run(f"evaluate {name}", "evaluate", *self.evaluating(self.path(name)))
        for name in ("run", "net.onnx", "net.pdparams"):
            argv = self.predicting(self.path(name), self.path("data"), view / name)
            self._run(f"predict {name}", "predict", *argv)
        self._run("check_data", "check_data", "--config", self.config)

    def evaluating(self, weights: pathlib.Path, with_config: bool = True) -> tuple[Any, ...]:
        """Arguments of `evaluate`."""
        named = ("--config", self.config) if with_config else ()
        return (*named, "--weights", weights)

    def predicting(
        self, weights: pathlib.Path, images: pathlib.Path, output: pathlib.Path
    ) -> tuple[Any, ...]:
        """Arguments of `predict`."""
        paths = ("--weights", weights, "--images", images, "--output", output)
        return ("--config", self.config, *paths)

    def _run(self, name: str, command: str, *argv: object) -> None:
        """Runs a command on valid input and remembers its outcome and needs."""
        outcome = self._server.start(command, *argv).wait(LONGEST)
        try:
            judge(outcome, command, LONGEST, 1e6)
        except Failure as failure:
            raise Failure(f"on valid input: {outcome.line}: {failure}: {outcome.err}") from None
        if outcome.status:
            raise Failure(f"on valid input: {outcome.line}: {outcome.err}")
        seconds, peak = self.needs.get(command, (outcome.seconds, 0.0))
        # The shortest time: the first run of a program compiles, which the trials never have to.
        self.needs[command] = min(seconds, outcome.seconds), max(peak, outcome.peak_mb)
        self.good[name] = outcome

    def _run_pair(self) -> None:
        """A short run of two processes."""
        argv, port = self.short(self.path("pair"), "--config.eval.pictures=0"), free_port()
        numbers = ("--num_processes=2", f"--coordinator_address=localhost:{port}", "--process_id")
        for running in [self._server.start("train", *argv, *numbers, i) for i in range(2)]:
            outcome = running.wait(LONGEST)
            self.needs["pair"] = outcome.seconds, outcome.peak_mb
            if outcome.status:
                raise Failure(f"on valid input: {outcome.line}: {outcome.err}")

    def _stop_half_way(self) -> None:
        """A short run that SIGTERM stopped between its first and last checkpoint."""
        workdir = self.path("half")
        for _ in range(8):  # it may reach its end before the signal does
            shutil.rmtree(workdir, ignore_errors=True)
            running = self._server.start("train", *self.short(workdir))
            running.until(lambda: steps_of(workdir)[-1:] >= [6], LONGEST)
            running.send(signal.SIGTERM)
            running.wait(LONGEST)
            if [6] <= steps_of(workdir)[-1:] < [16]:
                return
        raise Failure("a run could not be stopped half way")

    def _copy(self, name: str, target: str) -> pathlib.Path:
        return shutil.copytree(self.path(name), self.path(target))


def free_port() -> int:
    """Returns a port that is not in use."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def make_data(folder: pathlib.Path, train: int = 10, val: int = 4, side: int = 96) -> None:
    """Makes pictures with dark bars for words, on a light background, and their label files.

    Args:
        folder: to create.
        train, val: number of pictures.
        side: of a picture, in pixels.
    """
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for split, count in (("train", train), ("val", val)):
        lines = []
        for index in range(count):
            image = rng.integers(160, 220, (side, side, 3)).astype(np.uint8)
            labels = []
            for row in range(WORDS):
                x, y = int(rng.integers(4, 30)), 6 + 30 * row
                w, h = int(rng.integers(40, side - x - 4)), int(rng.integers(14, 20))
                cv2.rectangle(image, (x, y), (x + w, y + h), rng.integers(0, 60, 3).tolist(), -1)
                points = [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]
                labels.append({"transcription": f"w{row}", "points": points})
            cv2.imwrite(str(folder / f"{split}_{index}.png"), image)
            lines.append(f"{split}_{index}.png\t{json.dumps(labels)}\n")
        (folder / f"{split}.txt").write_text("".join(lines))


def read_lines(path: pathlib.Path) -> list[tuple[str, list[dict[str, Any]]]]:
    """Returns `[(name of a picture, its labels)]` of a label file."""
    pairs = (line.split("\t") for line in path.read_text().splitlines())
    return [(name, json.loads(labels)) for name, labels in pairs]


def steps_of(workdir: pathlib.Path) -> list[int]:
    """Returns the steps of the complete checkpoints of a workdir, ascending."""
    folder = workdir / "checkpoints"
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if name.isdigit())


def best_of(workdir: pathlib.Path) -> int:
    """Returns the step of the checkpoint with the best hmean, the latest of equals."""
    scores = []
    for step in steps_of(workdir):
        path = workdir / "checkpoints" / str(step) / "metrics" / "metrics"
        if path.exists():
            scores.append((json.loads(path.read_text())["hmean"], step))
    return max(scores)[1]


def scores(outcome: Outcome) -> tuple[dict[str, Any], list[str]]:
    """Returns the result of `evaluate`: its metrics, and the hashes of the weights it loaded."""
    line = json.loads((outcome.out.splitlines() or ["{}"])[-1] or "{}")
    numbers = {k: v for k, v in line.items() if k not in ("images_per_s", "weights")}
    return numbers, re.findall(r"hash (\w+)", outcome.err)
