"""Ctrl-C ends a command with one line and status 130, whatever the process is doing.

Python's default fails in three cases: during imports the exception ends in a traceback; in a
callback from C it is printed and swallowed; and while XLA compiles, perhaps for a minute, no Python
code runs that could raise it.
"""

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import NoReturn

STATUS = 130
PATIENCE_S = 5.0  # for a command to clean up, before the process is ended


_said = threading.Lock()  # taken by the first to print the line


def end(*_: object) -> NoReturn:
    """Ends the process at once, without cleaning up."""
    _say()
    os._exit(STATUS)


def finish() -> NoReturn:
    """Ends a command that raised KeyboardInterrupt.

    If our handlers are installed it ends at once: a regular exit of the interpreter may crash while
    an XLA program is still running, and has nothing left to do.
    """
    if signal.getsignal(signal.SIGINT) in (_raise, end):
        end()
    _say()
    sys.exit(STATUS)


def _say():
    if _said.acquire(blocking=False):
        with contextlib.suppress(OSError):  # the terminal may be gone
            os.write(2, b"interrupted\n")


def end_at_once() -> None:
    """First stage, before a command imports its modules. An ignored SIGINT stays ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end)
        # Registered first, so called last, when everything is done: the interpreter removes our
        # handler before it ends.
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


def end_in_order() -> None:
    """Second stage: Ctrl-C raises KeyboardInterrupt in the main thread, for `cli.run` to catch.

    If the exception is swallowed or does not arrive within `PATIENCE_S`, the process ends anyway.
    Does nothing in a process that did not call `end_at_once`.
    """
    if signal.getsignal(signal.SIGINT) is not end:
        return
    swallowed = sys.unraisablehook
    sys.unraisablehook = lambda told: (
        end() if told.exc_type is KeyboardInterrupt else swallowed(told)
    )
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
    threading.Thread(target=_watch, args=(reading,), daemon=True).start()
    signal.signal(signal.SIGINT, _raise)  # last, when everything else is in place


@contextlib.contextmanager
def putting_away() -> Iterator[None]:
    """In this block SIGTERM and SIGHUP raise SystemExit, so that unfinished output is cleaned up.

    Only for commands without JAX: inside XLA minutes may pass before Python can raise. Ignored
    signals stay ignored, as under `nohup`.
    """
    taken = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) == signal.SIG_DFL]
    try:
        for number in taken:
            signal.signal(number, _leave)
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _leave(number, _):
    signal.signal(number, signal.SIG_DFL)  # a second signal ends the process at once
    _say()
    raise SystemExit(128 + number)


def _raise(*_):
    signal.signal(signal.SIGINT, end)  # a second Ctrl-C ends the process at once
    raise KeyboardInterrupt


def _watch(reading):
    """In a thread: ends the process `PATIENCE_S` after a SIGINT, if it is still running."""
    while True:
        number = os.read(reading, 1)
        ours = signal.getsignal(signal.SIGINT) in (_raise, end)
        if number == bytes([signal.SIGINT]) and ours:
            time.sleep(PATIENCE_S)
            end()
