"""What a run will take: minutes by what was measured, now or last time, and memory."""

import jax

from ppocr_jax import config as configs
from ppocr_jax.data.compact import most_bytes
from ppocr_jax.data.pipeline import batches_waiting
from ppocr_jax.errors import counted
from ppocr_jax.optim.schedule import name_warmup
from ppocr_jax.runtime.memory import device_memory, free_memory
from ppocr_jax.timing.remembered import make_key, recall, remember
from ppocr_jax.training.supply import WORKER_BYTES

# Keys that leave the program of an update as it is.
BESIDE = ("data", "eval", "save", "log", "init_from", "postprocess", "best", "seed", "epochs",
          "steps", "learning_rate", "warmup_epochs", "warmup_steps", "time_limit_minutes",
          "form")  # fmt: skip
OFF = 1.5  # times what was expected, from which on it is corrected


class Forecast:
    """Minutes that a run will take; learns from run to run.

    Args:
        config: a whole config.
        mesh: the devices.
        log: `RunLog`.

    Attributes:
        key: of the program of an update, see `remembered.make_key`.
    """

    def __init__(self, config, mesh, log):
        record = {k: v for k, v in configs.record(config).items() if k not in BESIDE}
        where = {"devices": mesh.size, "processes": jax.process_count()}
        self.key = make_key(program="update", config=record, **where)
        scoring = {"roles": record["roles"], "eval": configs.record(config)["eval"]}
        self._scoring_key = make_key(program="evaluation", config=scoring, **where)
        self._log, self._step_s = log, recall(self.key).get("step_s")
        self._image_s = recall(self._scoring_key).get("image_s")
        self._expected, self._told = self._step_s, False

    def begin(self, steps, evaluations, images):
        """Says how long it will take, or when that is said.

        Args:
            steps, evaluations: to come.
            images: of one evaluation, over all roles.
        """
        if not steps:
            return
        if self._expected is None:
            self._log.say("how long it takes is said after the first updates: none with these "
                          "networks, crop and batch were timed here yet")  # fmt: skip
            return
        self._log.say(f"{self._describe(steps, evaluations, images)}, as measured last time")

    def measured(self, step_s, steps, evaluations, metrics):
        """Takes in a record; the first one says what is left, unless that was known.

        Args:
            step_s: seconds of an update.
            steps, evaluations: to come.
            metrics: of the last evaluation, by role.
        """
        self._step_s = step_s
        images = sum(scored["images"] for scored in metrics.values())
        if images:
            self._image_s = evaluation_seconds(metrics) / images
        known, off = self._expected is not None, 1.0
        if known:
            off = max(step_s, self._expected) / max(min(step_s, self._expected), 1e-9)
        if steps and not self._told and (off > OFF or not known):
            told = ", other than last time" if known else ""
            self._log.say(f"{self._describe(steps, evaluations, images)}, as measured{told}")
        self._told = True

    def keep(self):
        """Remembers what was measured, for the next run."""
        if jax.process_index() == 0 and self._step_s is not None:
            remember(self.key, step_s=self._step_s)
            if self._image_s is not None:
                remember(self._scoring_key, image_s=self._image_s)

    def _describe(self, steps, evaluations, images):
        seconds = steps * self._step_s
        parts = f"{counted(steps, 'update')} of {_seconds(self._step_s)} s"
        if evaluations and self._image_s and images:
            each = images * self._image_s
            seconds += evaluations * each
            parts += f" and {counted(evaluations, 'evaluation')} of {_seconds(each)} s"
        elif evaluations:
            parts += f", without {counted(evaluations, 'evaluation')}"
        return f"about {describe_time(seconds)} to go: {parts}"


def evaluation_seconds(metrics):
    """Seconds that all roles take, by `{role: metrics}` of the last evaluation; 0 without one."""
    return sum(scored["images"] / max(scored["images_per_s"], 1e-9) for scored in metrics.values())


def describe_course(segment, config, step=0):
    """How the rate goes to the end of a segment, in lines.

    Args:
        segment: `schedule.Segment` of the next update.
        config: a whole config.
        step: updates done. One that begins a later segment is described where that is made.
    """
    warmup, updates, rate = segment.warmup, segment.end - segment.begin, f"{segment.rate:g}"
    if not step:
        rise = f"rises from 0 to {rate} over {counted(warmup, 'update')}"
        rise = rise if warmup else f"is {rate}"
        whole = f"{counted(updates, 'update')} in all"
        yield f"the rate {rise}, then falls along a cosine, over {whole}"
    elif segment.begin < step < segment.end:
        yield (
            f"the rate stands at {segment(step):.3g}, in a cosine that began at step "
            f"{segment.begin}, is highest with {rate} at {segment.begin + warmup} and ends at "
            f"{segment.end}"
        )
    if warmup >= updates and step <= segment.begin:
        yield (
            f"warning: the warm-up takes {counted(warmup, 'update')} and the run has {updates}, so "
            f"the rate never gets to {rate}: shorten {name_warmup(config)}, or train for longer"
        )


def describe_memory(config, compiled, device, supply):
    """What an update and the batches that wait need, beside what there is; with a warning or "".

    Args:
        config: a whole config.
        compiled: the program of an update, as JAX compiled it.
        device: the first of this process.
        supply: `data.pipeline.Supply`.

    Returns:
        `(line, warning)`.
    """
    facts = compiled.memory_analysis()
    needed, held = (getattr(facts, f"{name}_size_in_bytes", 0) for name in ("temp", "argument"))
    on_host = batches_bytes(config, supply)
    there, free = device_memory(device), free_memory()
    if there is None:  # the devices are this machine's processors
        line = f"memory: an update needs {_mib(needed + held)} by the compiler's figure, batches "
        line += f"that wait up to {_mib(on_host)}, of {_mib(free)} free"
        short = free is not None and needed + on_host > free
        place = "free on this machine"
    else:
        line = f"memory: an update needs {_mib(needed + held)} on each device by the compiler's "
        line += f"figure, of {_mib(there + held)}; batches that wait up to {_mib(on_host)} of "
        line += f"{_mib(free)} free on this machine"
        short, place = needed > there, "there on the device"
    if not short:
        return line, ""
    return line, (
        f"warning: an update needs more memory than is {place}, so the system may end the run "
        "without a word: take a smaller batch_size or crop, more accumulate, or remat=True"
    )


def batches_bytes(config, supply):
    """Bytes that finished batches and the processes that make them take on this host at most."""
    share = max(1, config.batch_size // jax.process_count())
    batch = most_bytes(share, config.crop)
    waiting = batches_waiting(config.crop, share, supply) * batch
    return waiting + supply.workers * (WORKER_BYTES + batch)  # one that is being made


def describe_time(seconds):
    """`40 s`, `14 min` or `3.2 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _seconds(value):
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


def _mib(size):
    if size is None:
        return "an unknown amount"
    return f"{size / 2**20:.0f} MiB" if size < 2**30 else f"{size / 2**30:.1f} GiB"
