"""Communication between the processes of a run; if one ends, all of them end.

They use the key-value store of JAX's coordination service, which also answers while the devices
wait for a process that will never come. In each process a thread sends a heartbeat every `BEAT_S`
and looks for news of the others.
"""

import atexit
import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax

from ppocr_jax.errors import UserError, first_line, shown, tell

BEAT_S = 2.0
GONE_S = 16.0  # without a heartbeat a process counts as gone; all must have ended within 30 s
LINGER_S = 5.0  # the first process waits this long for the others to read why it ends
UNWIND_S = 8.0  # for a failing process to close its files
SPACE = "ppocr_jax"  # prefix of our keys in the store
# The message of a broken collective starts with one of these, whatever the class of the exception.
STATUSES = ("UNKNOWN", "INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED")
DONE, LEFT = "done", "left because of another"


class Company:
    """This process and the others of the run.

    Attributes:
        index, count: index of this process, and number of processes.
        advice: `() -> text`, how to continue the run after it has ended.
    """

    def __init__(self, client: Any, index: int, count: int) -> None:
        self.index, self.count = index, count
        self.advice: Callable[[], str] = lambda: "run the same command again in all of them"
        self._client, self._places = client, 0
        self._beats: dict[int, tuple[str | None, float]] = {
            i: (None, time.monotonic()) for i in self._others()
        }
        self._leaving, self._failed, self._stopped = threading.Lock(), False, threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _others(self):
        return [i for i in range(self.count) if i != self.index]

    # Exchange of texts at one point of the program.

    def exchange(self, place: str, text: str = "") -> list[str]:
        """Exchanges a text at one point of the program; a barrier.

        Args:
            place: name of the point.
            text: of this process.

        Returns:
            The texts of all processes, in their order.

        Raises:
            UserError: another process is at another point.
        """
        number, self._places = self._places, self._places + 1
        self._client.key_value_set(self._key(number), json.dumps([place, text]))
        said = [self._said(number, index, place) for index in range(self.count)]
        if number >= 2:  # everyone has read that one, having reached the point after it
            self._client.key_value_delete(self._key(number - 2))
        for index, (their_place, _) in enumerate(said):
            if their_place != place:
                raise UserError(
                    f"process {index} is at `{their_place}` and process {self.index} at `{place}`: "
                    "start all of them with the same command and the same files"
                )
        return [text for _, text in said]

    def _key(self, number, index=None):
        return f"{SPACE}/places/{number}/{self.index if index is None else index}"

    def _said(self, number, index, place):
        started, told = time.monotonic(), False
        while True:
            try:
                return json.loads(
                    self._client.blocking_key_value_get(self._key(number, index), 5000)
                )
            except jax.errors.JaxRuntimeError:  # not there yet; if it is gone `_watch` ends us
                time.sleep(0.2)
            if time.monotonic() - started > 60 and not told:
                told = True
                tell(f"waiting for process {index} to reach `{place}`")

    # Heartbeats, and news of the others.

    def _watch(self):
        heard, number = time.monotonic(), 0
        while not self._stopped.wait(BEAT_S):
            number += 1
            try:
                self._tell("beat", self.index, str(number))
                news = self._news()
                heard = time.monotonic()
            except Exception:  # the store is gone or slow
                if time.monotonic() - heard > GONE_S:
                    self.leave("process 0 is gone: it does not answer")
                continue
            self._look(news)

    def _news(self):
        pairs = self._client.key_value_dir_get(f"{SPACE}/news/")
        return {key.removeprefix(f"{SPACE}/news/"): text for key, text in pairs}

    def _look(self, news):
        now = time.monotonic()
        for index in self._others():
            ended, beat = news.get(f"ended/{index}"), news.get(f"beat/{index}")
            last, at = self._beats.get(index, (None, now))
            if ended == DONE:
                self._beats.pop(index, None)
            elif ended and ended != LEFT:
                self.leave(f"process {index} has ended: {ended}")
            elif beat != last:
                self._beats[index] = beat, now
            elif now - at > GONE_S:
                reason = f"nothing was heard of it for {GONE_S:.0f} s"
                with contextlib.suppress(Exception):
                    self._tell("ended", index, reason)
                self.leave(f"process {index} is gone: {reason}")

    def _tell(self, kind, index, text):
        self._client.key_value_set(f"{SPACE}/news/{kind}/{index}", text, allow_overwrite=True)

    # The end of this process.

    def lost(self, *_: object) -> None:
        """Callback for JAX when the connection breaks: ends with one line, not JAX's C++ stack."""
        silent = [i for i, (_, at) in self._beats.items() if time.monotonic() - at > 3 * BEAT_S]
        index = silent[0] if silent and self.index == 0 else 0
        if self.index == 0 and not silent:
            self.leave("the processes of this run have lost each other")
        self.leave(f"process {index} is gone: the connection to it broke off")

    def leave(self, reason: str) -> None:
        """Ends this process because of another one, with one line.

        Returns only if the process is ending already.
        """
        if not self._leaving.acquire(blocking=False):
            return
        bar = "\n" * sys.stderr.isatty()  # ends the line of a progress bar
        print(f"{bar}error: {shown(reason)}; {self._advice()}", file=sys.stderr, flush=True)
        # In a thread, because it may block on a store that is gone.
        telling = threading.Thread(target=self._say_ended, args=(LEFT,), daemon=True)
        telling.start()
        telling.join(LINGER_S)
        os._exit(2)

    def _say_ended(self, text):
        with contextlib.suppress(Exception):
            self._tell("ended", self.index, text)
            self._linger()

    def _advice(self):
        try:
            return self.advice()
        except Exception:
            return "run the same command again in all of them"

    def _linger(self):
        """The first process, which hosts the store, waits until the others have read it."""
        deadline = time.monotonic() + LINGER_S
        while self.index == 0 and time.monotonic() < deadline:
            if all(f"ended/{index}" in self._news() for index in self._others()):
                return
            time.sleep(0.1)

    def fail(self, error: BaseException) -> None:
        """Tells the others that this process ends with an exception. A second call does nothing.

        If the failure may be caused by the end of another process, it first waits for that news, so
        that the true cause is reported.
        """
        if self._failed:
            return
        if _from_devices(error):
            time.sleep(GONE_S + 2 * BEAT_S)
        if not self._leaving.acquire(blocking=False):
            time.sleep(2 * LINGER_S)  # `leave` is running in another thread and ends the process
        self._failed = True
        line, status = _ending(error)
        self._expire(line, status)
        self._say_ended(line)

    def _expire(self, line, status):
        """Ends the process after a time limit, or at exit before JAX waits for the others."""

        def expire():
            time.sleep(LINGER_S + UNWIND_S)
            print(f"error: {line}", file=sys.stderr, flush=True)
            os._exit(status)

        threading.Thread(target=expire, daemon=True).start()
        atexit.register(_exit, status)

    def finish(self) -> None:
        """Waits until all processes have finished; reacts to news of the others until then."""
        self._tell("ended", self.index, DONE)
        while self._beats:
            time.sleep(0.1)
            with contextlib.suppress(jax.errors.JaxRuntimeError):  # `_watch` handles a lost store
                self._look(self._news())
        self._stopped.set()
        with contextlib.suppress(jax.errors.JaxRuntimeError):  # everything is done already
            jax.distributed.shutdown()


def _ending(error):
    """`(line, exit status)` of an exception that ends a process, the same as in `cli.run`."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", 130
    if isinstance(error, SystemExit):
        return "it was told to exit", error.code if isinstance(error.code, int) else 1
    known = isinstance(error, (UserError, OSError))
    line = str(error) if isinstance(error, UserError) else first_line(error)
    return shown(line), 2 if known else 1


def _from_devices(error):
    """Whether an exception or its cause comes from the devices, and not for lack of memory."""
    while error is not None:
        status = str(error).partition(":")[0]
        if isinstance(error, jax.errors.JaxRuntimeError) or status in STATUSES:
            return status != "RESOURCE_EXHAUSTED"
        error = error.__cause__ or error.__context__
    return False


def _exit(status):
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


_company: Company | None = None


def current() -> Company | None:
    """The `Company` of this process; None if the run has only one process."""
    return _company


def found(client: Any, index: int, count: int) -> Company:
    """Creates the company of this process.

    Args:
        client: of JAX's coordination service.
        index, count: index of this process, and number of processes.
    """
    global _company
    _company = Company(client, index, count)
    return _company


def exchange(place: str, text: str = "") -> list[str]:
    """See `Company.exchange`; a single process gets its own text."""
    return _company.exchange(place, text) if _company else [text]


def set_advice(advice: Callable[[], str]) -> None:
    """Sets `Company.advice` if the run has several processes."""
    if _company:
        _company.advice = advice


@contextlib.contextmanager
def telling(
    apart_from: type[BaseException] | tuple[type[BaseException], ...] = (),
) -> Iterator[None]:
    """Tells the other processes of an exception that leaves this block.

    Args:
        apart_from: exceptions that all processes raise together.
    """
    try:
        yield
    except apart_from:
        raise
    except BaseException as error:
        if _company:
            _company.fail(error)
        raise
