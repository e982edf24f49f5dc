"""SIGTERM and SIGINT ask a run to stop at the next update, with its state saved."""

import signal


class Stopped(Exception):
    """A signal asked the run to stop, and it has saved its state."""

    def __init__(self, number):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


class StopOnSignal:
    """Remembers a SIGTERM or SIGINT instead of dying of it; a second one has its old effect.

    `number` is 0, or that of the signal that came. Use as a context manager.
    """

    def __enter__(self):
        self.number, self._old = 0, {}
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                self._old[number] = signal.signal(number, self._take)
            except ValueError:  # not in the main thread: signals go elsewhere
                break
        return self

    def __exit__(self, *_):
        self._restore()

    def _take(self, number, _):
        self.number = number
        self._restore()

    def _restore(self):
        for number, handler in self._old.items():
            signal.signal(number, handler)
