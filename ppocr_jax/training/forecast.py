"""Estimates what a run needs: time, from steps measured now or last time, and memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import jax
import ml_collections
from jax.sharding import Mesh

from ppocr_jax import config as configs
from ppocr_jax.data.compact import most_bytes
from ppocr_jax.data.pipeline import Supply, batches_waiting
from ppocr_jax.errors import counted
from ppocr_jax.optim.schedule import Segment, name_warmup
from ppocr_jax.runtime.memory import device_memory, free_memory
from ppocr_jax.timing.remembered import make_key, recall, remember
from ppocr_jax.training.supply import WORKER_BYTES

if TYPE_CHECKING:
    from ppocr_jax.training.records import RunLog

# Keys that do not change the compiled update: its time is remembered without them.
BESIDE = ("data", "eval", "save", "log", "init_from", "postprocess", "best", "seed", "epochs",
          "steps", "learning_rate", "warmup_epochs", "warmup_steps", "time_limit_minutes",
          "form")  # fmt: skip
OFF = 1.5  # an estimate that is wrong by more than this factor is corrected


class Forecast:
    """Estimates the time left; remembers step times from run to run.

    Args:
        config: a whole config.
        mesh: the devices.
        log: takes the lines.

    Attributes:
        key: of the compiled update, see `remembered.make_key`.
    """

    def __init__(self, config: ml_collections.ConfigDict, mesh: Mesh, log: RunLog) -> None:
        record = {k: v for k, v in configs.record(config).items() if k not in BESIDE}
        where = {"devices": mesh.size, "processes": jax.process_count()}
        self.key = make_key(program="update", config=record, **where)
        scoring = {"roles": record["roles"], "eval": configs.record(config)["eval"]}
        self._scoring_key = make_key(program="evaluation", config=scoring, **where)
        self._log, self._step_s = log, recall(self.key).get("step_s")
        self._image_s = recall(self._scoring_key).get("image_s")
        self._expected = self._step_s  # what `begin` goes by; None without an earlier run
        self._told = False

    def begin(self, steps: int, evaluations: int, images: int) -> None:
        """Logs the time left, or that it will be known after the first updates.

        Args:
            steps, evaluations: still to come.
            images: in one evaluation, over all roles.
        """
        if not steps:
            return
        if self._expected is None:
            self._log.say(
                "the time left will be known after the first updates: no run with these networks, "
                "crop and batch size was timed on this machine yet"
            )
            return
        self._log.say(f"{self._describe(steps, evaluations, images)}, as measured last time")

    def measured(
        self, step_s: float, steps: int, evaluations: int, metrics: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Takes measured times. The first call logs the time left, unless `begin` was right.

        Args:
            step_s: seconds per update.
            steps, evaluations: still to come.
            metrics: of the last evaluation, by role.
        """
        self._step_s = step_s
        images = sum(scored["images"] for scored in metrics.values())
        if images:
            self._image_s = evaluation_seconds(metrics) / images
        # Say it once: at the first record, if nothing was known or the estimate was far off.
        known, off = self._expected is not None, 1.0
        if self._expected is not None:
            off = max(step_s, self._expected) / max(min(step_s, self._expected), 1e-9)
        if steps and not self._told and (off > OFF or not known):
            told = ", which differs from last time" if known else ""
            self._log.say(f"{self._describe(steps, evaluations, images)}, as measured{told}")
        self._told = True

    def keep(self) -> None:
        """Saves the measured times for the next run."""
        if jax.process_index() == 0 and self._step_s is not None:
            remember(self.key, step_s=self._step_s)
            if self._image_s is not None:
                remember(self._scoring_key, image_s=self._image_s)

    def _describe(self, steps, evaluations, images):
        seconds = steps * self._step_s
        parts = f"{counted(steps, 'step')} of {_seconds(self._step_s)} s"
        if evaluations and self._image_s and images:
            each = images * self._image_s
            seconds += evaluations * each
            parts += f" and {counted(evaluations, 'evaluation')} of {_seconds(each)} s"
        elif evaluations:
            parts += f", not counting {counted(evaluations, 'evaluation')}"
        return f"about {describe_time(seconds)} to go: {parts}"


def evaluation_seconds(metrics: Mapping[str, Mapping[str, Any]]) -> float:
    """Seconds of an evaluation of all roles, from the metrics of the last one; 0 without one."""
    return sum(scored["images"] / max(scored["images_per_s"], 1e-9) for scored in metrics.values())


def describe_course(
    segment: Segment, config: ml_collections.ConfigDict, step: int = 0
) -> Iterator[str]:
    """Yields lines on the learning rate schedule from here to the end of a segment.

    Args:
        segment: of the next update.
        config: a whole config.
        step: updates done. At the start of a later segment nothing is said here: `segments` does.
    """
    warmup, updates, rate = segment.warmup, segment.end - segment.begin, f"{segment.rate:g}"
    if not step:
        rise = f"warms up from 0 to {rate} over {counted(warmup, 'step')}"
        rise = rise if warmup else f"is {rate}"
        yield f"learning rate {rise}, then decays along a cosine; {counted(updates, 'step')} in all"
    elif segment.begin < step < segment.end:
        yield (
            f"learning rate {segment(step):.3g}, in a cosine that started at step {segment.begin}, "
            f"peaks with {rate} at step {segment.begin + warmup} and ends at {segment.end}"
        )
    if warmup >= updates and step <= segment.begin:
        yield (
            f"warning: the warm-up takes {counted(warmup, 'step')} and the run has {updates}, so "
            f"it never reaches {rate}: shorten {name_warmup(config)}, or train longer"
        )


def describe_memory(
    config: ml_collections.ConfigDict, compiled: Any, device: Any, supply: Supply
) -> tuple[str, str]:
    """Compares the memory that an update and waiting batches need with what is free.

    Args:
        config: a whole config.
        compiled: the compiled update, a `jax.stages.Compiled`.
        device: the first one of this process.
        supply: of data workers and prefetch.

    Returns:
        `(line, warning)`; the warning is "" if the memory suffices.
    """
    # Arguments (state and batch) are in memory already; temporaries are still to be allocated.
    facts = compiled.memory_analysis()
    needed, held = (getattr(facts, f"{name}_size_in_bytes", 0) for name in ("temp", "argument"))
    on_host = batches_bytes(config, supply)
    there, free = device_memory(device), free_memory()
    if there is None:  # CPU devices: one memory for all of it
        line = f"memory: an update needs {_mib(needed + held)} by the compiler's figure, waiting "
        line += f"batches up to {_mib(on_host)}, of {_mib(free)} free"
        short = free is not None and needed + on_host > free
        place = "free on this machine"
    else:
        line = f"memory: an update needs {_mib(needed + held)} on each device by the compiler's "
        line += f"figure, of {_mib(there + held)}; waiting batches up to {_mib(on_host)} of "
        line += f"{_mib(free)} free on this machine"
        short, place = needed > there, "free on the device"
    if not short:
        return line, ""
    return line, (
        f"warning: an update needs more memory than is {place}, so the system may kill the run: "
        "use a smaller batch_size or crop, a larger accumulate, or remat=True"
    )


def batches_bytes(config: ml_collections.ConfigDict, supply: Supply) -> int:
    """Largest memory of waiting batches and data workers on this host, bytes."""
    share = max(1, config.batch_size // jax.process_count())
    batch = most_bytes(share, config.crop)
    waiting = batches_waiting(config.crop, share, supply) * batch
    return waiting + supply.workers * (WORKER_BYTES + batch)  # each prepares one


def describe_time(seconds: float) -> str:
    """Formats a duration as `40 s`, `14 min` or `3.2 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _seconds(value):
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


def _mib(size):
    if size is None:
        return "an unknown amount"
    return f"{size / 2**20:.0f} MiB" if size < 2**30 else f"{size / 2**30:.1f} GiB"
