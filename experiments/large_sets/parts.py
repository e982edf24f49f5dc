"""The parts of `python -m experiments.large_sets`. Each yields rows `(case, what, value, unit)`."""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from ml_collections import ConfigDict

from configs import ppocrv3_det_mobile
from experiments.benchmarks import host
from experiments.benchmarks.measure import Row
from experiments.large_sets.sets import LABELS, LARGE, SMALL, TEST, VALIDATION
from ppocr_jax.data.inspection import check
from ppocr_jax.data.labels import read_labels
from ppocr_jax.data.order import EpochOrder
from ppocr_jax.data.packing import pack
from ppocr_jax.data.resize import read_image

BATCHES = 20  # timed batches, after two for warm-up
STEADY = 5  # memory is read at this step, when buffers have their final sizes
CACHES = "/proc/sys/vm/drop_caches"  # root may write here to empty Linux's page cache
Folder = str | os.PathLike[str]


def make_config(folder: Folder, train: str) -> ConfigDict:
    """The published student's config with one of the two label files for training."""
    config = ppocrv3_det_mobile.get_config()
    config.data.root, config.data.train, config.data.val = str(folder), train, VALIDATION
    config.crop, config.batch_size = 640, 8
    return config


def run_index(folder: Folder, args: argparse.Namespace) -> Iterator[Row]:
    """Seconds to build the index of each set, and to open it again."""
    # A cache folder of its own, so that no index exists yet and none is left in the user's.
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        kept, os.environ["PPOCR_JAX_CACHE"] = os.environ.get("PPOCR_JAX_CACHE"), cache
        try:
            for name in (SMALL, LARGE):
                for what in ("made", "opened again"):
                    before, started = os.times(), time.perf_counter()
                    samples = read_labels(name, folder)
                    seconds, after = time.perf_counter() - started, os.times()
                    work = sum(after[:4]) - sum(before[:4])
                    yield f"{len(samples)} images", what, seconds, "s"
                    yield f"{len(samples)} images", f"{what}, CPU time", work, "s"
            size = sum(file.stat().st_size for file in os.scandir(f"{cache}/labels"))
            yield "both", "on the disk", size / 1e6, "MB"
        finally:
            os.environ.pop("PPOCR_JAX_CACHE")
            if kept is not None:
                os.environ["PPOCR_JAX_CACHE"] = kept


def run_order(folder: Folder, args: argparse.Namespace) -> Iterator[Row]:
    """Seconds to shuffle an epoch: the median of three."""
    order = EpochOrder([args.images], (1.0,), 1024)
    times = []
    for epoch in range(3):
        started = time.perf_counter()
        order.order(epoch)
        times.append(time.perf_counter() - started)
    yield f"{args.images} images", "order of an epoch", statistics.median(times), "s"


def run_train(folder: Folder, args: argparse.Namespace) -> Iterator[Row]:
    """Runs the command on both sets in turn: seconds to the first step, and memory at step 5."""
    # Untimed: the first run compiles, and each of the two builds an index.
    _start(folder, SMALL, 0)
    _start(folder, LARGE, 0)
    for workers in (0, 2):
        found: dict[str, list[tuple[float, float, float]]] = {SMALL: [], LARGE: []}
        for _ in range(args.turns):
            for name, values in found.items():
                values.append(_start(folder, name, workers))
        for name, values in found.items():
            case = f"{name}, {workers} workers"
            yield case, "first step", statistics.median(v[0] for v in values), "s"
            yield case, "private memory, main process", max(v[1] for v in values), "MB"
            if workers:
                yield case, "private memory, a worker", max(v[2] for v in values), "MB"


def _start(folder: Folder, name: str, workers: int) -> tuple[float, float, float]:
    """`(seconds to the first step, MB of the main process, MB of its largest worker)`."""
    with tempfile.TemporaryDirectory() as workdir:
        command = [
            sys.executable, "-m", "ppocr_jax.train", "--config", "configs/ppocrv3_det_mobile.py",
            "--workdir", workdir, f"--config.data.root={folder}", f"--config.data.train={name}",
            f"--config.data.val={VALIDATION}", "--config.crop=128", "--config.batch_size=2",
            f"--config.data.workers={workers}", "--config.steps=100", "--config.log.every_steps=1",
            "--config.data.prefetch_mb=1",
        ]  # fmt: skip
        started, seconds = time.perf_counter(), 0.0
        with subprocess.Popen(command, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as process:  # fmt: skip
            for line in process.stdout or ():
                found = re.match(r"step (\d+)/", line)
                if found and not seconds:
                    seconds = time.perf_counter() - started
                if found and int(found[1]) >= STEADY:
                    own = private_mb(process.pid)
                    others = [private_mb(child) for child in _children(process.pid)]
                    process.kill()
                    return seconds, own, max(others, default=0.0)
    raise RuntimeError(f"{' '.join(command)}: ended before its first step")


def private_mb(process: int | str) -> float:
    """Returns the private memory of a process, clean and dirty, in MiB.

    Args:
        process: its id, or "self".
    """
    with open(f"/proc/{process}/smaps_rollup") as file:
        sizes = re.findall(r"Private_(?:Clean|Dirty): +(\d+) kB", file.read())
    return sum(map(int, sizes)) / 1024


def _children(process: int) -> Iterator[int]:
    """Ids of the child processes, whichever thread started them."""
    for thread in os.listdir(f"/proc/{process}/task"):
        with open(f"/proc/{process}/task/{thread}/children") as file:
            yield from map(int, file.read().split())


def run_check(folder: Folder, args: argparse.Namespace) -> Iterator[Row]:
    """Seconds of check_data on the large set."""
    started = time.perf_counter()
    problems, _ = check(make_config(folder, LARGE), progress=sys.stderr.isatty())
    seconds = time.perf_counter() - started
    yield f"{args.images} images", "check_data", seconds, "s"
    yield f"{args.images} images", "findings", len(problems), ""


def run_packed(folder: Folder, args: argparse.Namespace) -> Iterator[Row]:
    """Pictures per second from files and from shards, in turn."""
    config = make_config(args.data, LABELS)
    config.data.val = TEST
    with tempfile.TemporaryDirectory(dir=folder) as place:
        output = os.path.join(place, "packed")
        started = time.perf_counter()
        pack(config, output, 256_000_000)
        yield "ICDAR2015", "packed in", time.perf_counter() - started, "s"
        shards = make_config(output, "train.txt")
        states = ("cold", "warm") if os.access(CACHES, os.W_OK) else ("warm",)
        for state in states:
            for case, chosen in (("files", config), ("shards", shards)):
                yield case, f"read and decoded, {state}", _read_all(chosen, state), "images/s"
        for case, chosen in (("files", config), ("shards", shards)):
            yield case, "batches, warm", host.images_per_second(chosen, BATCHES), "images/s"


def _read_all(config: ConfigDict, state: str) -> float:
    """Decoded pictures per second in one thread, after emptying the cache if `state` is "cold"."""
    paths = [s.image_path for s in read_labels(config.data.train, config.data.root)]
    if state == "cold":
        os.sync()  # pages that are not written yet cannot be dropped
        with open(CACHES, "w") as file:
            file.write("3\n")
    started = time.perf_counter()
    for path in paths:
        read_image(path)
    return len(paths) / (time.perf_counter() - started)
