"""SIGTERM, SIGINT and SIGHUP: the run stops after the current update and saves its state."""

import os
import signal


class Stopped(Exception):
    """A signal asked the run to stop, and it has saved its state."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


class StopOnSignal:
    """Notes the first such signal instead of ending the process; a second one ends it.

    Signals that were ignored before stay ignored: `nohup` does that to SIGHUP. Use as a context
    manager.

    Attributes:
        number: of the signal that came; 0 before.
    """

    number: int = 0

    def __enter__(self) -> "StopOnSignal":
        self.number, self._old = 0, {}
        self._terminals = [stream for stream in (1, 2) if os.isatty(stream)]
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_IGN:
                continue
            try:
                self._old[number] = signal.signal(number, self._take)
            except ValueError:  # only the main thread can handle signals
                break
        return self

    def __exit__(self, *_):
        self._restore()

    def _take(self, number, _):
        self.number = number
        self._restore()
        if number == signal.SIGHUP:  # the terminal is gone: writing to it would raise an error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for stream in self._terminals:
                os.dup2(nowhere, stream)
            os.close(nowhere)

    def _restore(self):
        for number, handler in self._old.items():
            signal.signal(number, handler)
