"""What the loop itself takes for an update, what a batch weighs, and whether `waiting` is true.

The loop is the one of `train`, with all that it does: records, files, saved states. In the place of
networks there is a stand-in of a device, which does one update after the other in a set time and
knows how long it had none.
"""

import contextlib
import functools
import io
import json
import statistics
import tempfile
import time
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from experiments.benchmarks.host import make_config
from experiments.benchmarks.measure import take_turns
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

SENT = ("image", *feed.PACKED)
STEP_S = 0.05
SLOW_S = 0.08  # of a source or a copy


class StandIn:
    """A device whose updates take a set time; they wait for each other as on a real one.

    Attributes:
        sent, host: times at which updates were sent; of the clock, and of that thread's processor.
        idle: seconds of each update in which the device had nothing to do before it.
    """

    def __init__(self, seconds):
        self._seconds, self._free = seconds, None
        self.sent, self.host, self.idle = [], [], []

    def __call__(self, state, arrays):
        """An update, as the compiled program would be called."""
        now = time.perf_counter()
        begin = now if self._free is None else max(now, self._free)
        self.sent.append(now)
        self.host.append(time.thread_time())
        self.idle.append(0.0 if self._free is None else begin - self._free)
        self._free = begin + self._seconds
        return state, {name: Later(1.0, self._free) for name in ("total", "grad_norm")}


class Later:
    """A scalar of a device that is there at a time."""

    def __init__(self, value, at):
        self._value, self._at = value, at

    def is_ready(self):
        return time.perf_counter() >= self._at

    def block_until_ready(self):
        time.sleep(max(0.0, self._at - time.perf_counter()))
        return self

    def __float__(self):
        return float(self.block_until_ready()._value)


class Source:
    """The same batch over and over, each after some seconds."""

    def __init__(self, batch, count, seconds=0.0):
        self._batch, self._left, self._seconds = batch, count, seconds

    def __iter__(self):
        return self

    def __next__(self):
        if not self._left:
            raise StopIteration
        self._left -= 1
        time.sleep(self._seconds)
        return dict(self._batch)

    def close(self):
        self._left = 0


def run_loop(config, batch, device, *, source_s=0.0, put=lambda batch: {}, ahead=1):
    """Runs `train` with a stand-in of a device; returns its records of updates.

    Args:
        config: a whole config; `steps` and `log.every_steps` are those of the run.
        batch: packed, given for every update.
        device: `StandIn`.
        source_s: seconds that making a batch takes.
        put: batch -> arrays; the default is a device that takes none.
        ahead: see `feed.Feed`.
    """

    def begin(setup, training):
        params = {"student": {"kernel": jnp.ones(4)}}
        state = TrainState(jnp.asarray(0), params, {"student": {}}, ())
        return Start(state, Progress(segments=[segments.first(config, training)]), [])

    source = Source(batch, config.steps, source_s)
    judge = mock.MagicMock()
    judge.return_value.hmean.return_value, judge.return_value.images_of_evaluation = None, 0
    stand_ins = [
        mock.patch.object(loop.start, "begin", begin),
        mock.patch.object(loop.start, "restore", lambda *_: None),
        mock.patch.object(loop, "Judge", judge),
        mock.patch.object(loop, "say_the_end"),
        mock.patch.object(loop, "Forecast"),  # it would remember these times for real runs
        mock.patch.object(loop, "compile_step", lambda *_: device),
        mock.patch.object(Training, "batches", lambda *_: source),
        mock.patch.object(feed, "put", lambda batch, mesh: put(batch)),
        mock.patch.object(feed, "ahead_of", lambda mesh: ahead),
    ]
    with contextlib.ExitStack() as opened, tempfile.TemporaryDirectory() as workdir:
        for stand_in in stand_ins:
            opened.enter_context(stand_in)
        opened.enter_context(contextlib.redirect_stderr(io.StringIO()))  # what a run says
        loop.train(config, workdir)
        lines = (epath.Path(workdir) / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["kind"] == "train"]


def shares_of(records, device, every):
    """`(logged, true)` shares of the time without an update, over all records but the first."""
    seconds = [every / line["images_per_s"] for line in records[1:]]
    logged = sum(line["waiting_share"] * s for line, s in zip(records[1:], seconds, strict=True))
    return logged / sum(seconds), sum(device.idle[every:]) / (
        device._free - device.sent[0] - STEP_S * every - sum(device.idle[:every])
    )


def run(args, folder):
    """The rows of this part."""
    config = make_config(args, folder)
    size, sides = (4, (64,)) if args.quick else (32, (640, 960))
    for side in sides:
        config.crop = side
        yield from _weigh(config, size, f"{size} x {side}x{side}")
    config.crop = side = sides[0]
    batch, case = _draw(config, size), f"{size} x {side}x{side}"
    mesh = devices.make_mesh(config)
    place = functools.partial(feed.put_packed, mesh=mesh)
    copied = sum(np.asarray(batch[name]).nbytes for name in SENT)
    jax.block_until_ready(place(batch))
    seconds = take_turns({"copy": lambda: jax.block_until_ready(place(batch))}, 5)["copy"]
    yield case, "copied, a batch", copied / 2**20, "MiB"
    yield case, "its copy, maps unpacked there", seconds * 1e3, "ms"

    yield case, "taken from a worker, this processor", _take(batch, size, side), "ms"

    config.batch_size, config.log.every_steps = size, 10
    config.steps = 20 if args.quick else 100
    config.log.writers = ("tensorboard",)
    for what, own in (("a device that takes no copies", {}), ("copies overlapped", {"put": place})):
        device = StandIn(STEP_S)
        run_loop(config, batch, device, **own)
        gaps = np.diff(device.sent[2:])
        yield case, f"beside 50 ms an update, {what}", 1e3 * (gaps.mean() - STEP_S), "ms"
        host = np.diff(device.host[2:]).mean()
        yield case, f"of the loop's thread an update, {what}", 1e3 * host, "ms"
    config.steps = 20 if args.quick else 50
    for what, own in CASES.items():
        device = StandIn(STEP_S)
        logged, true = shares_of(run_loop(config, batch, device, **own), device, 10)
        yield f"waiting, {what}", "as logged", 100 * logged, "%"
        yield f"waiting, {what}", "as it is", 100 * true, "%"


class Fill:
    """Batches as a worker writes them, of the sizes of a batch."""

    def __init__(self, batch):
        self._arrays = {name: (batch[name].shape, batch[name].dtype) for name in SENT}

    def __call__(self, number, allocate):
        batch = {name: allocate(shape, dtype) for name, (shape, dtype) in self._arrays.items()}
        for array in batch.values():
            array.fill(number)
        return batch


def _take(batch, size, side, count=20):
    """Milliseconds of this process's processor that a batch of a worker process takes."""
    workers = Workers(Fill(batch), count + 4, 2, 1, compact.most_bytes(size, side))
    for _ in range(4):
        next(workers)
    started = time.process_time()
    for _ in range(count):
        next(workers)
    seconds = time.process_time() - started
    workers.close()
    return seconds * 1e3 / count


def _slow_copy(batch):
    time.sleep(SLOW_S)
    return {}


CASES = {"slow source": {"source_s": SLOW_S}, "slow copy": {"put": _slow_copy}, "slow update": {}}


def _draw(config, size):
    """A packed batch of the examples that a run begins with."""
    make, examples = first_examples(read_sources(config.data.train, config.data.root), config, size)
    packed = [compact.pack(example, make.background) for _, example in examples]
    return make.stack(packed)


def _weigh(config, size, case):
    """Bytes of a sample as it is drawn, and as it travels."""
    sources = read_sources(config.data.train, config.data.root)
    make, examples = first_examples(sources, config, size)
    drawn = [example for _, example in examples]
    plain = statistics.fmean(
        sum(e[name].nbytes for name in ("image", *compact.MAPS)) for e in drawn
    )
    batch = make.stack([compact.pack(example, make.background) for example in drawn])
    packed = sum(np.asarray(batch[name]).nbytes for name in SENT) / size
    yield case, "a sample as drawn", plain / 1e6, "MB"
    yield case, "a sample as it travels", packed / 1e6, "MB"
    yield case, "of that", 100 * packed / plain, "%"
