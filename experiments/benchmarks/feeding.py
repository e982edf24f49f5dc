"""The overhead of the training loop, the size of a batch, and a check of the logged `waiting`.

This is the loop of `train` with everything it does: log records, files, checkpoints. A simulated
device replaces the networks. It takes a fixed time per step, one step after the other, and knows
how long it was idle.
"""

import argparse
import contextlib
import functools
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from ml_collections import ConfigDict

from experiments.benchmarks.host import make_config
from experiments.benchmarks.measure import Row, take_turns
from ppocr_jax import devices
from ppocr_jax.data import compact
from ppocr_jax.data.examples import first_examples
from ppocr_jax.data.labels import read_sources
from ppocr_jax.data.training_split import Training
from ppocr_jax.data.workers import Workers
from ppocr_jax.training import feed, loop, segments
from ppocr_jax.training.progress import Progress
from ppocr_jax.training.start import Start
from ppocr_jax.training.state import TrainState

SENT = ("image", *feed.PACKED)  # arrays of a packed batch that go to the device
STEP_S = 0.05  # of the simulated device
SLOW_S = 0.08  # to make or to copy a batch: longer than a step, so that the device has to wait
Batch = Mapping[str, Any]


class StandIn:
    """A simulated device whose steps take a fixed time and run one after the other.

    Args:
        seconds: that a step takes.

    Attributes:
        sent: clock times at which steps were submitted.
        host: CPU times of the submitting thread at the same moments.
        idle: seconds for which the device was idle before each step; 0 before the first.
        free_at: clock time at which the submitted steps will be done.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds, self.free_at = seconds, 0.0
        self.sent: list[float] = []
        self.host: list[float] = []
        self.idle: list[float] = []

    def __call__(self, state: Any, arrays: Batch) -> tuple[Any, dict[str, "Later"]]:
        """One training step, with the signature of the compiled program."""
        now = time.perf_counter()
        begin = max(now, self.free_at)  # it works on one step after the other
        self.idle.append(begin - self.free_at if self.sent else 0.0)
        self.sent.append(now)
        self.host.append(time.thread_time())
        self.free_at = begin + self._seconds
        return state, {name: Later(1.0, self.free_at) for name in ("total", "grad_norm")}


class Later:
    """A scalar that the simulated device will have computed at a certain time.

    Args:
        value: the scalar.
        at: that time, by `time.perf_counter`.
    """

    def __init__(self, value: float, at: float) -> None:
        self._value, self._at = value, at

    def is_ready(self) -> bool:
        """As of a `jax.Array`: whether the time has come."""
        return time.perf_counter() >= self._at

    def block_until_ready(self) -> "Later":
        """As of a `jax.Array`: waits for that time."""
        time.sleep(max(0.0, self._at - time.perf_counter()))
        return self

    def __float__(self) -> float:
        return float(self.block_until_ready()._value)


class Source:
    """Yields the same batch repeatedly.

    Args:
        batch: which one.
        count: how many times.
        seconds: that making each one takes.
    """

    def __init__(self, batch: Batch, count: int, seconds: float = 0.0) -> None:
        self._batch, self._left, self._seconds = batch, count, seconds

    def __iter__(self) -> "Source":
        return self

    def __next__(self) -> dict[str, Any]:
        if not self._left:
            raise StopIteration
        self._left -= 1
        time.sleep(self._seconds)
        return dict(self._batch)

    def close(self) -> None:
        """Ends the batches."""
        self._left = 0


def run_loop(
    config: ConfigDict,
    batch: Batch,
    device: StandIn,
    *,
    source_s: float = 0.0,
    put: Callable[[Batch], dict[str, Any]] = lambda batch: {},
    ahead: int = 1,
) -> list[dict[str, Any]]:
    """Runs `train` on a simulated device and returns its log records of training.

    Args:
        config: a whole config; its `steps` and `log.every_steps` apply.
        batch: a packed batch, used for every step.
        device: the simulated device.
        source_s: seconds to make a batch.
        put: copies a batch to the device; by default there is nothing to copy.
        ahead: how many batches are copied in advance, see `feed.Feed`.
    """
    # A tiny state in place of the networks', not restored from any checkpoint.

    def begin(setup, training):
        params = {"student": {"kernel": jnp.ones(4)}}
        state = TrainState(jnp.asarray(0), params, {"student": {}}, ())
        return Start(state, Progress(segments=[segments.first(config, training)]), [])

    source = Source(batch, config.steps, source_s)
    # No evaluations, no compilation; batches and copies as given; all the rest is the real loop.
    judge = mock.MagicMock()
    judge.return_value.hmean.return_value, judge.return_value.images_of_evaluation = None, 0
    stand_ins: list[contextlib.AbstractContextManager[Any]] = [
        mock.patch.object(loop.start, "begin", begin),
        mock.patch.object(loop.start, "restore", lambda *_: None),
        mock.patch.object(loop, "Judge", judge),
        mock.patch.object(loop, "say_the_end"),
        mock.patch.object(loop, "Forecast"),  # would save these times as estimates for real runs
        mock.patch.object(loop, "compile_step", lambda *_: device),
        mock.patch.object(Training, "batches", lambda *_: source),
        mock.patch.object(feed, "put", lambda batch, mesh: put(batch)),
        mock.patch.object(feed, "ahead_of", lambda mesh: ahead),
    ]
    with contextlib.ExitStack() as opened, tempfile.TemporaryDirectory() as workdir:
        for stand_in in stand_ins:
            opened.enter_context(stand_in)
        opened.enter_context(contextlib.redirect_stderr(io.StringIO()))  # its messages
        loop.train(config, workdir)
        lines = (epath.Path(workdir) / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["kind"] == "train"]


def shares_of(
    records: Sequence[Mapping[str, Any]], device: StandIn, every: int
) -> tuple[float, float]:
    """Returns the share of time in which the device was idle, as logged and as measured.

    Args:
        records: the training log, one record per `every` steps. The first is left out: it includes
            the start.
        device: the simulated device after the run.
        every: steps per record.

    Returns:
        `(logged, measured)`, each from 0 to 1.
    """
    seconds = [every / line["images_per_s"] for line in records[1:]]
    logged = sum(line["waiting_share"] * s for line, s in zip(records[1:], seconds, strict=True))
    first_s = STEP_S * every + sum(device.idle[:every])
    return logged / sum(seconds), sum(device.idle[every:]) / (
        device.free_at - device.sent[0] - first_s
    )


def run(args: argparse.Namespace, folder: str) -> Iterator[Row]:
    """Size of a sample, time to copy a batch, overhead of the loop, and logged waiting time."""
    config = make_config(args, folder)

    # What a sample takes in memory and on the way to the device.
    size, sides = (4, (64,)) if args.quick else (32, (640, 960))
    for side in sides:
        config.crop = side
        yield from _weigh(config, size, f"{size} x {side}x{side}")

    # A batch: copied to the device, and received from a worker process.
    config.crop = side = sides[0]
    batch, case = _draw(config, size), f"{size} x {side}x{side}"
    mesh = devices.make_mesh(config)
    place = functools.partial(feed.put_packed, mesh=mesh)
    copied = sum(np.asarray(batch[name]).nbytes for name in SENT)
    jax.block_until_ready(place(batch))  # compiles the unpacking
    seconds = take_turns({"copy": lambda: jax.block_until_ready(place(batch))}, 5)["copy"]
    yield case, "size of a batch", copied / 2**20, "MiB"
    yield case, "copying it and unpacking its maps", seconds * 1e3, "ms"
    yield case, "CPU time to receive it from a worker", _take(batch, size, side), "ms"

    # The loop's own time: what a step takes beyond the device's.
    config.batch_size, config.log.every_steps = size, 10
    config.steps = 20 if args.quick else 100
    config.log.writers = ("tensorboard",)
    copies: dict[str, dict[str, Any]] = {"nothing copied": {}, "copies overlapped": {"put": place}}
    for what, own in copies.items():
        device = StandIn(STEP_S)
        run_loop(config, batch, device, **own)
        gaps = np.diff(device.sent[2:])
        yield case, f"a step beyond the device's 50 ms, {what}", 1e3 * (gaps.mean() - STEP_S), "ms"
        host = np.diff(device.host[2:]).mean()
        yield case, f"CPU time of the loop's thread per step, {what}", 1e3 * host, "ms"

    # Does the logged `waiting` agree with the idle time of the device?
    config.steps = 20 if args.quick else 50
    for what, own in CASES.items():
        device = StandIn(STEP_S)
        logged, true = shares_of(run_loop(config, batch, device, **own), device, 10)
        yield f"waiting, {what}", "as logged", 100 * logged, "%"
        yield f"waiting, {what}", "as measured", 100 * true, "%"


class Fill:
    """Makes batches in a worker process: arrays of the shapes of `batch`, filled with a number."""

    def __init__(self, batch: Batch) -> None:
        self._arrays = {name: (batch[name].shape, batch[name].dtype) for name in SENT}

    def __call__(self, number: int, allocate: Callable[..., np.ndarray]) -> dict[str, np.ndarray]:
        batch = {name: allocate(shape, dtype) for name, (shape, dtype) in self._arrays.items()}
        for array in batch.values():
            array.fill(number)
        return batch


def _take(batch: Batch, size: int, side: int, count: int = 20) -> float:
    """CPU time of this process to receive a batch from a worker process, in milliseconds."""
    workers = Workers(Fill(batch), count + 4, 2, 1, compact.most_bytes(size, side))
    for _ in range(4):  # warm-up
        next(workers)
    started = time.process_time()
    for _ in range(count):
        next(workers)
    seconds = time.process_time() - started
    workers.close()
    return seconds * 1e3 / count


def _slow_copy(batch: Batch) -> dict[str, Any]:
    time.sleep(SLOW_S)
    return {}


CASES: dict[str, dict[str, Any]] = {
    "slow source": {"source_s": SLOW_S},
    "slow copy": {"put": _slow_copy},
    "slow update": {},
}


def _draw(config: ConfigDict, size: int) -> dict[str, Any]:
    """The first batch of a run, packed."""
    make, examples = first_examples(read_sources(config.data.train, config.data.root), config, size)
    packed = [compact.pack(example, make.background) for _, example in examples]
    return make.stack(packed)


def _weigh(config: ConfigDict, size: int, case: str) -> Iterator[Row]:
    """Megabytes of a sample, and of its packed form, which goes to the device."""
    sources = read_sources(config.data.train, config.data.root)
    make, examples = first_examples(sources, config, size)
    drawn = [example for _, example in examples]
    plain = statistics.fmean(
        sum(e[name].nbytes for name in ("image", *compact.MAPS)) for e in drawn
    )
    batch = make.stack([compact.pack(example, make.background) for example in drawn])
    packed = sum(np.asarray(batch[name]).nbytes for name in SENT) / size
    yield case, "a sample as created", plain / 1e6, "MB"
    yield case, "a sample as transferred", packed / 1e6, "MB"
    yield case, "transferred / created", 100 * packed / plain, "%"
