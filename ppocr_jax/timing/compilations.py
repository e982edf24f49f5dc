"""Messages about compilation, and the suppression of XLA's slow-compilation alarm.

JAX's monitoring events tell when a program has been lowered (compilation starts), compiled, or read
from the persistent cache, so nothing has to be guessed from the time taken.
"""

import contextlib
import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jaxlib.utils
from tqdm import tqdm

from ppocr_jax.errors import shown, wanted
from ppocr_jax.timing.remembered import make_key, recall, remember

LOWERED = "/jax/core/compile/jaxpr_to_mlir_module_duration"
COMPILED = "/jax/core/compile/backend_compile_duration"
HIT = "/jax/compilation_cache/cache_hits"
READ = "/jax/compilation_cache/cache_retrieval_time_sec"
SAVED = "/jax/compilation_cache/compile_time_saved_sec"
LONG_S = 3.0  # a compilation that takes longer is announced
FATAL = 3  # XLA's log level above its alarm, which has the level "error"
_local = threading.local()  # `watches`: those of this thread, the innermost last
_muting = threading.Lock()
_muted = 0  # running compilations in all threads


class Watch:
    """What JAX reports about one call that may compile. Use as a context manager.

    Attributes:
        seconds: that compiling, or reading from the cache, took.
        cached: whether a program was read from the cache.
        first_s: seconds that the compilation took when it was first done.
        programs: number of programs compiled or read.
    """

    def __init__(
        self,
        begins: Callable[[], object] = lambda: None,
        ends: Callable[[], object] = lambda: None,
    ) -> None:
        """
        Args:
            begins: called before a program is compiled or read.
            ends: called after that.
        """
        self.seconds = self.first_s = 0.0
        self.cached, self.programs = False, 0
        self._begins, self._ends = begins, ends
        self._read = self._saved = 0.0

    def __enter__(self) -> "Watch":
        _listen()
        watches = _local.watches = getattr(_local, "watches", [])
        watches.append(self)
        return self

    def __exit__(self, *_):
        _local.watches.remove(self)

    def notice(self, event: str, seconds: float = 0.0) -> None:
        """Takes one of JAX's monitoring events in this thread."""
        if event == LOWERED:
            self._begins()
        elif event == HIT:
            self.cached = True
        elif event == READ:
            self._read = seconds
        elif event == SAVED:
            self._saved = seconds
        elif event == COMPILED:
            self._ends()
            self.programs += 1
            self.seconds += seconds
            self.first_s += self._read + self._saved if self._read else seconds
            self._read = self._saved = 0.0


@functools.cache
def _listen():
    """Registers listeners with JAX that notify the watches of a thread; once per process."""

    def tell(event, seconds=0.0, **_):
        for watch in getattr(_local, "watches", ()):
            watch.notice(event, seconds)

    jax.monitoring.register_event_listener(tell)
    jax.monitoring.register_event_duration_secs_listener(tell)


@contextlib.contextmanager
def without_alarm() -> Iterator[None]:
    """Suppresses all but fatal messages of XLA in the block.

    After two minutes of compiling, XLA advises to file a bug, and no option turns that off. Errors
    still reach the caller as exceptions. With TF_CPP_MIN_LOG_LEVEL=0 nothing is suppressed.
    """
    asked = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1")
    if not asked.isdecimal() or int(asked) == 0:
        yield
        return
    _mute(1, int(asked))
    try:
        yield
    finally:
        _mute(-1, int(asked))


def _mute(change, level):
    global _muted
    with _muting:
        _muted += change
        set_level = getattr(jaxlib.utils, "absl_set_min_log_level", None)
        if set_level is not None:  # a private function: without it the alarm is shown
            set_level(FATAL if _muted else level)


def compile_step(
    lower: Callable[[], Any], key: str, say: Callable[[str], object]
) -> tuple[Any, str]:
    """Compiles the update ahead of time; announces how long it took last time.

    Args:
        lower: `() -> jax.stages.Lowered`.
        key: see `remembered.make_key`.
        say: takes a line.

    Returns:
        `(compiled, words)`: the `jax.stages.Compiled`, and how long each part took.
    """
    last, started = recall(key).get("compile_s"), time.perf_counter()
    if last is None:
        say("compiling the update for these networks, crop and batch size for the first time here: "
            "this takes a minute or more on a CPU")  # fmt: skip
    else:
        say(f"compiling the update, which took {last:.0f} s last time, unless it is in the cache")
    lowered = lower()
    traced = time.perf_counter() - started
    with Watch() as watch, without_alarm():
        compiled = lowered.compile()
    remember(key, compile_s=watch.first_s)
    how = f"compiled in {watch.seconds:.1f} s"
    if watch.cached:
        how = f"read from the cache in {watch.seconds:.1f} s (compiling took {watch.first_s:.1f} s)"
    whole = time.perf_counter() - started
    return compiled, f"ready in {whole:.1f} s: traced in {traced:.1f} s, {how}"


@contextlib.contextmanager
def told_when_long(what: str, facts: Callable[[], dict[str, Any]]) -> Iterator[Watch]:
    """Announces a compilation in the block if it takes longer than `LONG_S`.

    Args:
        what: name of the program, as in `compiling {what}`.
        facts: `() -> dict` of everything that the time depends on; called only if needed.
    """
    state: dict[str, Any] = {}

    def begin():
        end()
        state["mute"] = contextlib.ExitStack()
        state["mute"].enter_context(without_alarm())
        state["timer"] = threading.Timer(LONG_S, tell)
        state["timer"].daemon = True
        state["timer"].start()

    def tell():
        last = recall(make_key(**facts())).get("compile_s")
        took = f" (it took {last:.0f} s last time)" if last else ""
        _say(f"compiling {what}{took}")
        state["said"] = True

    def end():
        if "mute" in state:
            state.pop("timer").cancel()
            state.pop("mute").close()

    with Watch(begin, end) as watch:
        try:
            yield watch
        finally:
            end()
    if state.get("said"):
        remember(make_key(**facts()), compile_s=watch.first_s)
        how = "read from the cache" if watch.cached else "compiled"
        _say(f"{how} in {watch.seconds:.1f} s")


def _say(line):
    """Prints a line above the progress bar, in the first process only."""
    if jax.process_index() == 0 and wanted(line):
        tqdm.write(shown(line), file=sys.stderr)
