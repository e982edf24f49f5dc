"""Runs cases one after the other, each as a process group with a time limit, until a deadline."""

import contextlib
import json
import os
import pathlib
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # every case imports this file: it has to stay light
    from experiments.benchmarks.device.records import Records

RESERVE_S = 5.0  # at the end, to kill the last case and to write the page


class Case(NamedTuple):
    """One measurement.

    Attributes:
        name: for the records.
        arguments: of `python -m experiments.benchmarks.device.case`.
        least_s: it is not started with fewer seconds left.
        most_s: it is killed after this many seconds.
    """

    name: str
    arguments: tuple[str, ...]
    least_s: float
    most_s: float


def process_age() -> float:
    """Returns the seconds since this process was started; 0 if the system does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open("/proc/self/stat", encoding="utf-8") as file:
            # Field 22 of proc(5): the start, in clock ticks since boot.
            ticks = int(file.read().rsplit(")", 1)[1].split()[19])
        with open("/proc/uptime", encoding="utf-8") as file:
            return float(file.read().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")
    return 0.0


def end_with_parent() -> None:
    """Asks Linux to kill this process when its parent ends, even if the parent is killed."""
    import ctypes

    pr_set_pdeathsig = 1
    with contextlib.suppress(AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def run_cases(
    cases: Iterable[Case],
    records: "Records",
    deadline: float,
    beside: "Beside | None" = None,
) -> None:
    """Runs cases in order until the time is up.

    Args:
        cases: the most useful first.
        records: where their numbers go.
        deadline: by `time.monotonic`.
        beside: a process in the background, paused while a case is timed.
    """
    for case in cases:
        left = deadline - RESERVE_S - time.monotonic()
        if left < case.least_s:
            how = f"not run: {max(0, left):.0f} s left, needs at least {case.least_s:.0f}"
            records.add("end", case=case.name, how=how, seconds=0)
        else:
            records.add("begin", case=case.name, seconds=min(left, case.most_s))
            records.write_page()
            _run(case, records, min(left, case.most_s), beside)
        records.write_page()


def start(
    arguments: Sequence[object], folder: pathlib.Path, **options: Any
) -> "subprocess.Popen[bytes]":
    """Starts a process of `case` as the leader of a new group; its stderr goes to `cases.log`.

    Args:
        arguments: of `case`.
        folder: of the run.
        options: of `subprocess.Popen`.
    """
    command = [sys.executable, "-m", "experiments.benchmarks.device.case", *map(str, arguments)]
    with open(folder / "cases.log", "ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            start_new_session=True, **options,
        )  # fmt: skip


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    """Kills a process and its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _run(case: Case, records: "Records", limit_s: float, beside: "Beside | None") -> None:
    """Runs one case with a limit and records its numbers and how it ended."""
    print(f"{case.name}: at most {limit_s:.0f} s", flush=True)
    began, log = time.monotonic(), records.folder / "cases.log"
    said_before = log.stat().st_size if log.exists() else 0
    process = start(case.arguments, records.folder)
    # A thread reads its output, so that waiting for a line can end at the limit.
    lines: queue.Queue[bytes | None] = queue.Queue()
    reader = threading.Thread(target=_read, args=(process.stdout, lines), daemon=True)
    reader.start()
    how = f"stopped at its limit of {limit_s:.0f} s"
    try:
        while (left := began + limit_s - time.monotonic()) > 0:
            try:
                line = lines.get(timeout=left)
            except queue.Empty:
                break
            if line is None:
                status = process.wait()
                how = "done" if not status else _explain(status, log, said_before)
                break
            _take(line, case, records, process, beside)
    finally:
        kill_group(process)
        if beside:
            beside.go_on()
    seconds = time.monotonic() - began
    records.add("end", case=case.name, how=how, seconds=round(seconds, 1))
    print(f"{case.name}: {how} ({seconds:.0f} s)", flush=True)


def _read(stream: Iterable[bytes], lines: "queue.Queue[bytes | None]") -> None:
    """Passes on a stream's lines, and None at its end."""
    for line in stream:
        lines.put(line)
    lines.put(None)


def _take(
    line: bytes,
    case: Case,
    records: "Records",
    process: "subprocess.Popen[bytes]",
    beside: "Beside | None",
) -> None:
    """Handles one line of a case: records a row, or lets an announced phase start.

    Before timing starts the background process is paused.
    """
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return  # output of a library
    if not isinstance(row, dict):
        return
    if "phase" in row:
        if beside:
            (beside.pause if row["phase"] == "timing" else beside.go_on)()
        assert process.stdin is not None  # `start` made it a pipe
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(b"go\n")
            process.stdin.flush()
    elif "machine" in row:
        records.add("machine", **row["machine"])
    else:
        records.add("row", **{"case": case.name, **row})
        print(f"| {case.name} | {row['what']} | {row['value']:.4g} {row['unit']} |", flush=True)


def _explain(status: int, log: pathlib.Path, since: int) -> str:
    """Why a case failed: its last `error:` line, or else its last line.

    Args:
        status: exit status.
        log: `cases.log`.
        since: byte at which its own output starts.
    """
    with open(log, "rb") as file:
        file.seek(since)
        said = file.read().decode(errors="replace").strip().splitlines()
    errors = [line for line in said if line.startswith("error: ")] or said
    return f"failed ({status}): {errors[-1][:200] if errors else 'no message'}"


class Beside:
    """A case in the background: it runs while the others compile and is paused while they time.

    Args:
        arguments: of `case`.
        folder: of the run.
    """

    def __init__(self, arguments: Sequence[object], folder: pathlib.Path) -> None:
        self._process = start(arguments, folder, preexec_fn=lambda: os.nice(10))

    def pause(self) -> None:
        """Stops it, and waits until the device has finished its work."""
        self._signal(signal.SIGSTOP)
        time.sleep(0.2)

    def go_on(self) -> None:
        """Lets it continue."""
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        """Kills it."""
        kill_group(self._process)

    def _signal(self, number: int) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
