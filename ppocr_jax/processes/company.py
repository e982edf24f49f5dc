"""What the processes of a run say to each other, and that all of them end when one is gone.

They speak through the key-value store of the service by which JAX joins them, which answers also
while the devices wait for a process that will never come. A thread of each process says every
`BEAT_S` that it is there and looks for news of the others.
"""

import atexit
import contextlib
import json
import os
import sys
import threading
import time

import jax

from ppocr_jax.errors import UserError, first_line, shown, tell

BEAT_S = 2.0
GONE_S = 16.0  # without a beat; all have to have ended within 30
LINGER_S = 5.0  # that the first process waits for the others to read why it ends
UNWIND_S = 8.0  # for a failing process to close what it has open
SPACE = "ppocr_jax"
# With these a broken collective begins what it says, whatever class of exception comes of it.
STATUSES = ("UNKNOWN", "INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED")
DONE, LEFT = "done", "left because of another"


class Company:
    """This process among the others.

    Attributes:
        index, count: of this process, and of all.
        advice: `() -> text`, how the run goes on after it has ended.
    """

    def __init__(self, client, index, count):
        self.index, self.count = index, count
        self.advice = lambda: "run the same command again in all of them"
        self._client, self._places = client, 0
        self._beats = {i: (None, time.monotonic()) for i in self._others()}
        self._leaving, self._failed, self._stopped = threading.Lock(), False, threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _others(self):
        return [i for i in range(self.count) if i != self.index]

    # What is said at one place by all.

    def exchange(self, place, text=""):
        """What every process says at a place of the program, in their order.

        Raises:
            UserError: another process is at another place.
        """
        number, self._places = self._places, self._places + 1
        self._client.key_value_set(self._key(number), json.dumps([place, text]))
        said = [self._said(number, index, place) for index in range(self.count)]
        if number >= 2:  # all have read that, since they have come to the place after it
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
            except jax.errors.JaxRuntimeError:  # not yet; where it is gone the thread ends us
                time.sleep(0.2)
            if time.monotonic() - started > 60 and not told:
                told = True
                tell(f"waiting for process {index} to come to `{place}`")

    # News of the others.

    def _watch(self):
        heard, number = time.monotonic(), 0
        while not self._stopped.wait(BEAT_S):
            number += 1
            try:
                self._tell("beat", self.index, str(number))
                news = self._news()
                heard = time.monotonic()
            except Exception:  # the store is gone, or slow
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

    # Ends.

    def lost(self, *_):
        """For JAX, which would end the process with a stack of its own: this says it in a line."""
        silent = [i for i, (_, at) in self._beats.items() if time.monotonic() - at > 3 * BEAT_S]
        index = silent[0] if silent and self.index == 0 else 0
        if self.index == 0 and not silent:
            self.leave("the processes of this run have lost each other")
        self.leave(f"process {index} is gone: the connection to it broke off")

    def leave(self, reason):
        """Ends this process because of another, with one line; returns where it ends already."""
        if not self._leaving.acquire(blocking=False):
            return
        bar = "\n" * sys.stderr.isatty()  # which a progress bar may have left open
        print(f"{bar}error: {shown(reason)}; {self._advice()}", file=sys.stderr, flush=True)
        # In a thread of its own: it may wait for a store that is gone.
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
        """The store ends with the first process: the others have to have read what is in it."""
        deadline = time.monotonic() + LINGER_S
        while self.index == 0 and time.monotonic() < deadline:
            if all(f"ended/{index}" in self._news() for index in self._others()):
                return
            time.sleep(0.1)

    def fail(self, error):
        """Tells the others that this process ends with an exception; nothing the second time.

        A failure that may be the effect of another process's end waits until that is known.
        """
        if self._failed:
            return
        if _from_devices(error):
            time.sleep(GONE_S + 2 * BEAT_S)
        if not self._leaving.acquire(blocking=False):
            time.sleep(2 * LINGER_S)  # another's end is being told, and ends this process
        self._failed = True
        line, status = _ending(error)
        self._expire(line, status)
        self._say_ended(line)

    def _expire(self, line, status):
        """Ends the process, in time or at its exit, before JAX waits for the others."""

        def expire():
            time.sleep(LINGER_S + UNWIND_S)
            print(f"error: {line}", file=sys.stderr, flush=True)
            os._exit(status)

        threading.Thread(target=expire, daemon=True).start()
        atexit.register(_exit, status)

    def finish(self):
        """Returns when all have finished; news of the others are listened to until then."""
        self._tell("ended", self.index, DONE)
        while self._beats:
            time.sleep(0.1)
            with contextlib.suppress(jax.errors.JaxRuntimeError):  # which ends us elsewhere
                self._look(self._news())
        self._stopped.set()
        with contextlib.suppress(jax.errors.JaxRuntimeError):  # all is done already
            jax.distributed.shutdown()


def _ending(error):
    """`(line, exit status)` of an exception that ends a process, as `cli.run` has them."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", 130
    if isinstance(error, SystemExit):
        return "it was told to exit", error.code if isinstance(error.code, int) else 1
    known = isinstance(error, (UserError, OSError))
    line = str(error) if isinstance(error, UserError) else first_line(error)
    return shown(line), 2 if known else 1


def _from_devices(error):
    """Whether an exception, or one that it came from, is of the devices and not of memory alone."""
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


_company = None


def current():
    """The `Company` of this process; None where it is alone."""
    return _company


def found(client, index, count):
    """Makes the company of this process."""
    global _company
    _company = Company(client, index, count)
    return _company


def exchange(place, text=""):
    """See `Company.exchange`; a process alone hears itself."""
    return _company.exchange(place, text) if _company else [text]


def set_advice(advice):
    """Sets `Company.advice`, where this process has company."""
    if _company:
        _company.advice = advice


@contextlib.contextmanager
def telling(apart_from=()):
    """Tells the others of an exception that leaves this block, before what is open is closed.

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
