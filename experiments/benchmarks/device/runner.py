"""Cases one after the other, each in a process group with a limit; the whole ends in time."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from typing import NamedTuple

RESERVE_S = 5.0  # of the whole, for the last case's end and the page


class Case(NamedTuple):
    """One measurement.

    Attributes:
        name: in the records.
        arguments: of `python -m experiments.benchmarks.device.case`.
        least_s: it is not begun with less time than that.
        most_s: it is ended after that.
    """

    name: str
    arguments: tuple[str, ...]
    least_s: float
    most_s: float


def process_age():
    """Seconds since this process was started; 0 where nobody knows."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open("/proc/self/stat", encoding="utf-8") as file:
            ticks = int(file.read().rsplit(")", 1)[1].split()[19])
        with open("/proc/uptime", encoding="utf-8") as file:
            return float(file.read().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")
    return 0.0


def end_with_parent():
    """Lets the system end this process when the one that started it is gone, however it went."""
    import ctypes

    pr_set_pdeathsig = 1
    with contextlib.suppress(AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def run_cases(cases, records, deadline, beside=None):
    """Runs cases in their order until the time is up.

    Args:
        cases: of `Case`, the most worthy first.
        records: `records.Records`.
        deadline: by `time.monotonic`.
        beside: `Beside`, what may run while nothing is timed; None for nothing.
    """
    for case in cases:
        left = deadline - RESERVE_S - time.monotonic()
        if left < case.least_s:
            how = f"not run: {max(0, left):.0f} s were left, it takes {case.least_s:.0f} or more"
            records.add("end", case=case.name, how=how, seconds=0)
        else:
            records.add("begin", case=case.name, seconds=min(left, case.most_s))
            records.write_page()
            _run(case, records, min(left, case.most_s), beside)
        records.write_page()


def start(arguments, folder, **options):
    """A process of `case`, leader of its group; what it says on stderr goes to `cases.log`."""
    command = [sys.executable, "-m", "experiments.benchmarks.device.case", *map(str, arguments)]
    with open(folder / "cases.log", "ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            start_new_session=True, **options,
        )  # fmt: skip


def kill_group(process):
    """Ends a process and all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _run(case, records, limit_s, beside):
    print(f"{case.name}: {limit_s:.0f} s at most", flush=True)
    began, log = time.monotonic(), records.folder / "cases.log"
    said_before = log.stat().st_size if log.exists() else 0
    process, lines = start(case.arguments, records.folder), queue.Queue()
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


def _read(stream, lines):
    for line in stream:
        lines.put(line)
    lines.put(None)


def _take(line, case, records, process, beside):
    """Keeps a row; at the beginning of a phase, lets it begin when what runs beside is ready."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return  # what a library prints
    if not isinstance(row, dict):
        return
    if "phase" in row:
        if beside:
            (beside.pause if row["phase"] == "timing" else beside.go_on)()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(b"go\n")
            process.stdin.flush()
    elif "machine" in row:
        records.add("machine", **row["machine"])
    else:
        records.add("row", **{"case": case.name, **row})
        print(f"| {case.name} | {row['what']} | {row['value']:.4g} {row['unit']} |", flush=True)


def _explain(status, log, since):
    """Why a case failed: its last line on stderr, or the last error of a command that it ran."""
    with open(log, "rb") as file:
        file.seek(since)
        said = file.read().decode(errors="replace").strip().splitlines()
    errors = [line for line in said if line.startswith("error: ")] or said
    return f"failed ({status}): {errors[-1][:200] if errors else 'without a word'}"


class Beside:
    """A case that runs beside the others while they compile, and stands still while they time.

    Args:
        arguments: of `case`.
        folder: of the run.
    """

    def __init__(self, arguments, folder):
        self._process = start(arguments, folder, preexec_fn=lambda: os.nice(10))

    def pause(self):
        self._signal(signal.SIGSTOP)
        time.sleep(0.2)  # what it has given to the device comes to its end

    def go_on(self):
        self._signal(signal.SIGCONT)

    def end(self):
        kill_group(self._process)

    def _signal(self, number):
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
