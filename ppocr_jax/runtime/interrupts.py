"""Ctrl-C ends a command with one line and status 130, whatever the process does just then.

Three things would go wrong otherwise: while modules load, an exception ends in a traceback; where
a library calls Python from C, it is printed and swallowed; and while XLA compiles, for a minute
perhaps, no Python runs that could raise one.
"""

import atexit
import contextlib
import os
import signal
import sys
import threading
import time

STATUS = 130
PATIENCE_S = 5.0  # for a command to put its files away, after which the process just ends


_said = threading.Lock()  # taken by the first who says the line


def end(*_):
    """Ends the process at once: nothing is left to put away, or there is no way to."""
    _say()
    os._exit(STATUS)


def finish():
    """Ends a command that a KeyboardInterrupt has come out of.

    At once where this program has taken over Ctrl-C: an interpreter that ends in order may crash
    in a program of XLA that runs on, and has nothing to add.
    """
    if signal.getsignal(signal.SIGINT) in (_raise, end):
        end()
    _say()
    sys.exit(STATUS)


def _say():
    if _said.acquire(blocking=False):
        with contextlib.suppress(OSError):  # the terminal may be gone
            os.write(2, b"interrupted\n")


def end_at_once():
    """To be called before a command loads its modules. Where SIGINT is ignored, it stays so."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end)
        # Registered first, called last: all is done then, and the interpreter would take the
        # handler away before it ends.
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


def end_in_order():
    """From here on Ctrl-C is a KeyboardInterrupt of the main thread, for `cli.run` to catch.

    One that is swallowed, or does not get through in time, ends the process all the same. Nothing
    is done in a process that did not call `end_at_once`.
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
    signal.signal(signal.SIGINT, _raise)  # last: the caller has to be ready for it


@contextlib.contextmanager
def putting_away():
    """In this block SIGTERM and SIGHUP end the process as Ctrl-C does: what was begun is put away.

    For commands without JAX, in which minutes may pass before Python runs again. What is ignored,
    as under `nohup`, stays so.
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
    signal.signal(number, signal.SIG_DFL)  # who asks twice wants no more patience
    _say()
    raise SystemExit(128 + number)


def _raise(*_):
    signal.signal(signal.SIGINT, end)  # who asks twice wants no more patience
    raise KeyboardInterrupt


def _watch(reading):
    """Ends the process a while after a SIGINT that nobody else has taken over."""
    while True:
        number = os.read(reading, 1)
        ours = signal.getsignal(signal.SIGINT) in (_raise, end)
        if number == bytes([signal.SIGINT]) and ours:
            time.sleep(PATIENCE_S)
            end()
