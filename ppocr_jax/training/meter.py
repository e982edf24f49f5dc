"""What a run measures between two records: the losses of its updates and their time."""

import collections
import contextlib
import dataclasses
import math
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ppocr_jax.errors import UserError

PATIENCE_S = 10.0  # to wait for the last update when a run ends with an error


class Clock:
    """Time spent on updates since the last record, without evaluations and checkpoints.

    It is device time: a record lasts from the end of the previous record's last update to the end
    of its own last update, no matter when the host notices.

    Attributes:
        idle: seconds in which the devices had nothing to do: from the end of an update until the
            next one was sent.
    """

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Starts a new record now."""
        self._begin = self._end = time.perf_counter()
        self.idle = 0.0

    def ran(self, sent: float, ended: float) -> None:
        """Adds an update, sent and ended at these times; call it once for each, in order."""
        self.idle += max(0.0, sent - self._end)
        self._end = max(self._end, ended)

    def skip(self) -> None:
        """Leaves out the time since the last update's end: it was spent on something else."""
        now = time.perf_counter()
        self._begin += now - self._end
        self._end = now

    def take(self) -> tuple[float, float]:
        """Returns `(seconds, idle)` of this record; the next starts at the last update's end."""
        taken = max(self._end - self._begin, 1e-9), self.idle
        self._begin, self.idle = self._end, 0.0
        return taken


@dataclasses.dataclass
class Sent:
    """An update that was sent to the devices.

    Attributes:
        step: its number.
        metrics: `{name: scalar}` on the devices.
        textless: crops in its batch without text to learn from.
        records: indices of its training samples.
        sent, ended: times in seconds; `ended` is valid once `done` is set.
        done: set when it has ended.
    """

    step: int
    metrics: Any
    textless: int
    records: Any
    sent: float
    ended: float = 0.0
    done: threading.Event = dataclasses.field(default_factory=threading.Event)

    def is_ready(self) -> bool:
        """Whether the update has ended. Does not wait."""
        leaves = jax.tree.leaves(self.metrics)
        return all(leaf.is_ready() for leaf in leaves if hasattr(leaf, "is_ready"))

    def end(self) -> None:
        """Marks it as ended now."""
        self.ended = time.perf_counter()
        self.done.set()


class Watcher:
    """Notes when updates end, in a thread, because the host is busy with other things then.

    On CPU an update has already ended when it is handed over, and no thread is started.
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Sent | None] | None = None
        self._thread: threading.Thread | None = None

    def watch(self, update: Sent) -> None:
        """Calls `update.end()` when the update ends."""
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
            with contextlib.suppress(Exception):  # raised again when the metrics are read
                jax.block_until_ready(update.metrics)
            update.end()

    def close(self) -> None:
        """Ends the thread after its last update.

        Waits for it, with a limit: no thread may be inside JAX when the interpreter ends.
        """
        if self._queue is not None and self._thread is not None:
            self._queue.put(None)
            self._thread.join(PATIENCE_S)
            self._queue = None


class Meter:
    """Collects the updates of a record.

    The losses of an update are read while the next one runs, so the devices never wait for the
    host. More than one update ahead would only hold memory. Use as a context manager: it ends the
    thread of the watcher.

    Args:
        window: `(step, losses, crops without text)` of updates since the last record, as restored;
            extended in place, since checkpoints save this list.
        clock: takes the times.
        describe: `(step, records) -> text` with hints for an update that went wrong.

    Attributes:
        crops: `(all, without text)` that this process has seen since its start.
        warned: whether a warning about them was given.
    """

    def __init__(
        self,
        window: list[tuple[int, dict[str, float], int]],
        clock: Clock,
        describe: Callable[[int, Any], str],
    ) -> None:
        self.window, self.clock, self._describe = window, clock, describe
        self._watcher, self._sent_at = Watcher(), 0.0
        self._inflight: collections.deque[Sent] = collections.deque()  # not read yet
        self._timed = 0  # updates that the clock has seen; `window` may hold restored ones too
        self.crops, self.warned = (0, 0), False

    def __enter__(self) -> "Meter":
        return self

    def __exit__(self, *_):
        self._watcher.close()

    def send(self) -> None:
        """Call it right before sending an update, with its inputs on the devices."""
        self._sent_at = time.perf_counter()

    def add(self, step: int, metrics: dict[str, Any], textless: int, records: Any) -> None:
        """Adds an update that was sent to the devices.

        Args:
            step: its number.
            metrics: `{name: scalar}` on the devices.
            textless: crops in its batch without text to learn from.
            records: indices of its training samples.

        Raises:
            UserError: a loss of the previous update is not finite.
        """
        update = Sent(step, metrics, textless, records, self._sent_at)
        self._watcher.watch(update)
        self._inflight.append(update)
        if len(self._inflight) > 1:
            self._look_at(self._inflight.popleft())

    @property
    def is_idle(self) -> bool:
        """Whether the devices have finished all updates."""
        return all(update.is_ready() for update in self._inflight)

    def settle(self) -> None:
        """Waits for all updates and reads their losses. Raises as `add` does."""
        while self._inflight:
            self._look_at(self._inflight.popleft())

    def _look_at(self, update):
        update.done.wait()
        step, metrics = update.step, jax.device_get(update.metrics)
        losses = {name: float(value) for name, value in metrics.items()}
        wrong = [name for name, value in losses.items() if not math.isfinite(value)]
        if wrong:
            # Name a single term of the loss rather than the sums it has spoiled.
            terms = [name for name in wrong if name not in ("total", "grad_norm")] or wrong
            raise UserError(
                f"step {step}: {terms[0]} is {losses[terms[0]]}; "
                f"{self._describe(step, update.records)}"
            )
        self.window.append((step, losses, update.textless))
        self.clock.ran(update.sent, update.ended)
        self._timed += 1

    def take(self, batch_size: int) -> tuple[dict[str, float], dict[str, float]]:
        """Returns the figures of the updates since the last record, and starts the next one.

        Args:
            batch_size: samples of one update over all processes.

        Returns:
            `(losses, figures)`: mean losses by name; `images_per_s`, `waiting_share` (of the time
            in which the devices were idle), `textless_share` and `seconds_per_step`.
        """
        count, (seconds, idle) = max(self._timed, 1), self.clock.take()
        losses = {
            name: float(np.mean([losses[name] for _, losses, _ in self.window]))
            for name in self.window[0][1]
        }
        # Textless crops are counted per process, speed over all of them.
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

    def restart(self) -> None:
        """Restarts the timing of this record; its losses stay."""
        self._timed = 0
        self.clock.restart()
