"""SIGTERM, SIGINT and SIGHUP ask a run to stop at the next update, with its state saved."""

import os
import signal


class Stopped(Exception):
    """A signal asked the run to stop, and it has saved its state."""

    def __init__(self, number):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


class StopOnSignal:
    """Remembers such a signal instead of dying of it; a second one has its old effect.

    One that is ignored stays so: `nohup` ignores SIGHUP for what it starts. `number` is 0, or that
    of the signal that came. Use as a context manager.
    """

    def __enter__(self):
        self.number, self._old = 0, {}
        self._terminals = [stream for stream in (1, 2) if os.isatty(stream)]
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_IGN:
                continue
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
        if number == signal.SIGHUP:  # the terminal is gone, and a line to it would be an error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for stream in self._terminals:
                os.dup2(nowhere, stream)
            os.close(nowhere)

    def _restore(self):
        for number, handler in self._old.items():
            signal.signal(number, handler)
