"""What a run measures between two records: the losses of its updates, and the time they took."""

import collections
import math
import time

import jax
import numpy as np

from ppocr_jax.errors import UserError


class Clock:
    """Time spent on updates since the last record; evaluating and saving do not count.

    Attributes:
        waited: seconds of it in which no batch was ready.
    """

    def __init__(self):
        self.restart()

    def restart(self):
        """Begins a new record."""
        self._start = self._seen = time.perf_counter()
        self.waited = 0.0

    def touch(self):
        """Updates have been finished up to now."""
        self._seen = time.perf_counter()

    def skip(self):
        """What was done since the last `touch` was no update: it does not count."""
        now = time.perf_counter()
        self._start += now - self._seen
        self._seen = now

    def waiting(self, batches):
        """The same batches; the time until each is there is added to `waited`."""
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - asked
            if batch is None:
                return
            yield batch

    @property
    def seconds(self):
        """Of the record so far, above 0."""
        return max(time.perf_counter() - self._start, 1e-9)


class Meter:
    """Collects the updates of a record.

    An update's losses are looked at while the next one runs: one runs, one is queued, and more
    would only hold memory.

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
        self._inflight = collections.deque()  # not looked at yet
        self._timed = 0  # updates that the clock has seen
        self.crops, self.warned = (0, 0), False

    def add(self, step, metrics, textless, records):
        """Takes an update that was sent to the device.

        Args:
            step: its number.
            metrics: `{name: scalar}` on the device.
            textless: crops of its batch without text to learn from.
            records: numbers of the training samples in it.

        Raises:
            UserError: a loss of the update before it is not finite.
        """
        self._inflight.append((step, metrics, textless, records))
        self._timed += 1
        if len(self._inflight) > 1:
            self._look_at(*self._inflight.popleft())

    def settle(self):
        """Waits for all updates, and looks at them. Raises as `add` does."""
        while self._inflight:
            self._look_at(*self._inflight.popleft())

    def _look_at(self, step, metrics, textless, records):
        losses = {name: float(value) for name, value in jax.device_get(metrics).items()}
        wrong = [name for name, value in losses.items() if not math.isfinite(value)]
        if wrong:
            terms = [name for name in wrong if name not in ("total", "grad_norm")] or wrong
            raise UserError(
                f"step {step}: {terms[0]} is {losses[terms[0]]}; {self._describe(step, records)}"
            )
        self.window.append((step, losses, textless))
        self.clock.touch()

    def take(self, batch_size):
        """What the record says of the updates since the last one; begins the next record.

        Args:
            batch_size: samples of one update in all processes.

        Returns:
            `(losses, figures)`: means by name; images_per_s, waiting_share, textless_share and
            seconds_per_step.
        """
        count, seconds = max(self._timed, 1), self.clock.seconds
        losses = {
            name: float(np.mean([losses[name] for _, losses, _ in self.window]))
            for name in self.window[0][1]
        }
        own_images = len(self.window) * batch_size // jax.process_count()
        textless = sum(textless for _, _, textless in self.window)
        self.crops = self.crops[0] + own_images, self.crops[1] + textless
        figures = {
            "images_per_s": self._timed * batch_size / seconds,
            "waiting_share": self.clock.waited / seconds,
            "textless_share": textless / own_images,
            "seconds_per_step": seconds / count,
        }
        self.window.clear()
        self.restart()
        return losses, figures

    def restart(self):
        """Begins the timing of a record; its losses stay."""
        self._timed = 0
        self.clock.restart()
