"""What a run measures between two records: losses of its updates, and what time they took."""

import collections
import contextlib
import dataclasses
import math
import queue
import threading
import time
from typing import Any

import jax
import numpy as np

from ppocr_jax.errors import UserError

PATIENCE_S = 10.0  # for the update that runs when a run ends in an error


class Clock:
    """Time spent on updates since the last record; evaluating and saving do not count.

    It goes by what the devices do: a record lasts from the end of the last update of the one before
    to the end of its own last update, whenever the host comes to look.

    Attributes:
        idle: seconds of it in which the devices had nothing to do: from the end of an update until
            the next one was sent.
    """

    def __init__(self):
        self.restart()

    def restart(self):
        """Begins a new record, now."""
        self._begin = self._end = time.perf_counter()
        self.idle = 0.0

    def ran(self, sent, ended):
        """Takes in an update that was sent and ended at these times; each once, in their order."""
        self.idle += max(0.0, sent - self._end)
        self._end = max(self._end, ended)

    def skip(self):
        """What was done since the end of the last update was none: it does not count."""
        now = time.perf_counter()
        self._begin += now - self._end
        self._end = now

    def take(self):
        """`(seconds, idle)` of the record so far; begins the next one at the last update's end."""
        taken = max(self._end - self._begin, 1e-9), self.idle
        self._begin, self.idle = self._end, 0.0
        return taken


@dataclasses.dataclass
class Sent:
    """An update that was sent to the devices.

    Attributes:
        step: its number.
        metrics: `{name: scalar}` on the devices.
        textless: crops of its batch without text to learn from.
        records: numbers of the training samples in it.
        sent, ended: when; the second one once `done` is set.
        done: whether it has ended.
    """

    step: int
    metrics: Any
    textless: int
    records: Any
    sent: float
    ended: float = 0.0
    done: threading.Event = dataclasses.field(default_factory=threading.Event)

    def is_ready(self):
        """Whether all metrics are there; asks the devices and does not wait."""
        leaves = jax.tree.leaves(self.metrics)
        return all(leaf.is_ready() for leaf in leaves if hasattr(leaf, "is_ready"))

    def end(self):
        """It has ended now."""
        self.ended = time.perf_counter()
        self.done.set()


class Watcher:
    """Notes when updates end: in a thread, since the host does something else at that time.

    Where an update has ended by the time it is handed over, as on CPU, there is no thread.
    """

    def __init__(self):
        self._queue = self._thread = None

    def watch(self, update):
        """Sets `ended` of a `Sent` when it is time."""
        if update.is_ready():
            update.end()
            return
        if self._queue is None:
            self._queue = queue.SimpleQueue()
            self._thread = threading.Thread(target=self._run, args=(self._queue,), daemon=True)
            self._thread.start()
        self._queue.put(update)

    @staticmethod
    def _run(updates):
        while (update := updates.get()) is not None:
            with contextlib.suppress(Exception):  # it is raised again where they are read
                jax.block_until_ready(update.metrics)
            update.end()

    def close(self):
        """Ends the thread, once it has seen what it was given.

        It is waited for, if not for ever: at the end of the process it must not be inside JAX.
        """
        if self._queue is not None:
            self._queue.put(None)
            self._thread.join(PATIENCE_S)
            self._queue = None


class Meter:
    """Collects the updates of a record.

    An update's losses are looked at while the next one runs: one runs, one is queued, and more
    would only hold memory. Use as a context manager: a thread ends with it.

    Args:
        window: `(step, losses, crops without text)` of updates that an earlier start has seen;
            grows, and is the list that a state saves.
        clock: `Clock`.
        describe: `(step, records) -> text` on where to look when an update went wrong.

    Attributes:
        crops: of this process since it started, and those without text to learn from.
        warned: whether that was said.
    """

    def __init__(self, window, clock, describe):
        self.window, self.clock, self._describe = window, clock, describe
        self._watcher, self._sent_at = Watcher(), 0.0
        self._inflight = collections.deque()  # not looked at yet
        self._timed = 0  # updates that the clock has seen
        self.crops, self.warned = (0, 0), False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._watcher.close()

    def send(self):
        """An update is about to be sent to the devices, with all that it needs there already."""
        self._sent_at = time.perf_counter()

    def add(self, step, metrics, textless, records):
        """Takes an update that was sent to the devices.

        Args:
            step: its number.
            metrics: `{name: scalar}` on the devices.
            textless: crops of its batch without text to learn from.
            records: numbers of the training samples in it.

        Raises:
            UserError: a loss of the update before it is not finite.
        """
        update = Sent(step, metrics, textless, records, self._sent_at)
        self._watcher.watch(update)
        self._inflight.append(update)
        if len(self._inflight) > 1:
            self._look_at(self._inflight.popleft())

    @property
    def is_idle(self):
        """Whether the devices have done all that they were sent."""
        return all(update.is_ready() for update in self._inflight)

    def settle(self):
        """Waits for all updates, and looks at them. Raises as `add` does."""
        while self._inflight:
            self._look_at(self._inflight.popleft())

    def _look_at(self, update):
        update.done.wait()
        step, metrics = update.step, jax.device_get(update.metrics)
        losses = {name: float(value) for name, value in metrics.items()}
        wrong = [name for name, value in losses.items() if not math.isfinite(value)]
        if wrong:
            terms = [name for name in wrong if name not in ("total", "grad_norm")] or wrong
            raise UserError(
                f"step {step}: {terms[0]} is {losses[terms[0]]}; "
                f"{self._describe(step, update.records)}"
            )
        self.window.append((step, losses, update.textless))
        self.clock.ran(update.sent, update.ended)
        self._timed += 1

    def take(self, batch_size):
        """What the record says of the updates since the last one; begins the next record.

        Args:
            batch_size: samples of one update in all processes.

        Returns:
            `(losses, figures)`: means by name; images_per_s, waiting_share (of the time, in which
            the devices had nothing to do), textless_share and seconds_per_step.
        """
        count, (seconds, idle) = max(self._timed, 1), self.clock.take()
        losses = {
            name: float(np.mean([losses[name] for _, losses, _ in self.window]))
            for name in self.window[0][1]
        }
        own_images = len(self.window) * batch_size // jax.process_count()
        textless = sum(textless for _, _, textless in self.window)
        self.crops = self.crops[0] + own_images, self.crops[1] + textless
        figures = {
            "images_per_s": self._timed * batch_size / seconds,
            "waiting_share": idle / seconds,
            "textless_share": textless / own_images,
            "seconds_per_step": seconds / count,
        }
        self.window.clear()
        self._timed = 0
        return losses, figures

    def restart(self):
        """Begins the timing of a record; its losses stay."""
        self._timed = 0
        self.clock.restart()
