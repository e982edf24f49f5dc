"""Disturbs the commands of a checkout at random: kills, damaged files, hostile input.

    python -m experiments.torture --minutes 30 --seed 0
    python -m experiments.torture --minutes 30 --seed 0 --project ../older --output runs/torture

The kinds of trial take turns, three trials at a time, until the time is over, and for up to half of
it again if some kinds had too few trials. Prints a table with one row per kind. For each kind that
failed, the smallest input is kept below `--output`, with its commands and their output. The exit
status is 1 if a trial failed or a kind had too few trials.
"""

import argparse
import contextlib
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterable, Sequence

from experiments.torture.commands import Server
from experiments.torture.judge import Failure
from experiments.torture.kinds import KINDS
from experiments.torture.report import Report
from experiments.torture.trial import Trial
from experiments.torture.valid import ValidInputs

LANES = 3  # trials at a time, on two cores: some trials only wait
# Faster compilation; the speed of the compiled programs does not matter here.
QUICKLY = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
HANGS = 3  # trials of a kind may hang; further ones of that kind get less time
SHORT_PATIENCE, LONG_PATIENCE = 5.0, 60.0  # seconds beyond the usual time of a command
LEAST = 30  # trials of each kind that a run of half an hour should have


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Reads the options."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = arguments.add_argument
    add("--minutes", type=float, default=30.0, help="how long trials are started")
    add("--seed", type=int, default=0, help="of the random numbers (default: 0)")
    add("--rounds", type=int, default=10**6, help="most trials per kind (default: no limit)")
    add("--project", default=".", metavar="DIR", help="checkout to test (default: this)")
    add("--output", metavar="DIR", help="folder for failing inputs (default: temporary)")
    add("--kinds", nargs="+", choices=list(KINDS), metavar="KIND", help="; ".join(KINDS))
    add("--least", type=int, help=f"trials that each kind must have (default: one per minute, "
        f"at most {LEAST})")  # fmt: skip
    return arguments.parse_args(argv)


class Turns:
    """Hands out trials: each kind in order, round after round, until the time is over.

    Args:
        kinds: their names.
        seconds: for all trials.
        rounds: most rounds.
        least: if fewer rounds are done in time, up to half the time is added.
    """

    def __init__(self, kinds: Iterable[str], seconds: float, rounds: int, least: int) -> None:
        self._kinds, self._lock, self._count = list(kinds), threading.Lock(), 0
        self._least, self._last = least * len(self._kinds), rounds * len(self._kinds)
        now = time.monotonic()
        self._until, self._at_most = now + seconds, now + 1.5 * seconds

    def take(self) -> tuple[str, int] | None:
        """Returns `(kind, number)` of the next trial, or None at the end."""
        with self._lock:
            until = self._at_most if self._count < self._least else self._until
            if time.monotonic() > until or self._count == self._last:
                return None
            number, place = divmod(self._count, len(self._kinds))
            self._count += 1
            return self._kinds[place], number


def work(
    turns: Turns,
    server: Server,
    valid: ValidInputs,
    folder: pathlib.Path,
    args: argparse.Namespace,
    report: Report,
) -> None:
    """Runs trials in one lane until the time is over.

    Args:
        turns: which trial comes next; shared by all lanes.
        server: of this lane.
        valid: the valid inputs.
        folder: for the folders of trials.
        args: the options.
        report: takes the results; shared by all lanes.
    """
    while not report.closed and (turn := turns.take()):
        kind, number = turn
        place = folder / f"{kind}-{number}"
        patience = SHORT_PATIENCE if report.hangs(kind) >= HANGS else LONG_PATIENCE
        trial = Trial(args.seed, kind, number, place, valid, server, patience)
        started = time.monotonic()
        failure = None
        try:
            KINDS[kind](trial)
        except Failure as broken:
            failure = str(broken)
        except Exception:  # a bug of this tool: report it, but let the other trials go on
            failure = "bug in this tool: " + traceback.format_exc()
        report.add(kind, number, trial, failure, time.monotonic() - started)
        shutil.rmtree(place, ignore_errors=True)


def torture(args: argparse.Namespace, folder: pathlib.Path) -> Report:
    """Runs all trials.

    Args:
        args: the options.
        folder: temporary, for everything but the failing inputs.
    """
    # Commands share a cache of compiled programs, kept between runs, and never touch the user's.
    programs = str(pathlib.Path(tempfile.gettempdir(), "ppocr_jax_torture"))
    env = {
        "JAX_COMPILATION_CACHE_DIR": os.environ.get("JAX_COMPILATION_CACHE_DIR", programs),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "XDG_CACHE_HOME": str(folder / "cache"),
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", QUICKLY),
        "JAX_PLATFORMS": "cpu",
    }
    output = pathlib.Path(args.output) if args.output else folder.with_name(folder.name + "-failed")
    kinds = args.kinds or list(KINDS)
    least = min(LEAST, int(args.minutes)) if args.least is None else args.least
    report = Report(kinds, least, output)
    with contextlib.ExitStack() as opened:
        servers = [
            opened.enter_context(Server(args.project, folder / f"lane{lane}", env))
            for lane in range(LANES)
        ]
        if not servers[0].warm:
            print(
                "the package's imports start threads: every command needs a new interpreter",
                file=sys.stderr,
            )
        valid = ValidInputs(folder / "valid", servers[0])
        valid.build(pair=bool({"host-dies", "hosts-differ"} & set(kinds)))
        turns = Turns(kinds, 60 * args.minutes, args.rounds, least)
        lanes = [
            threading.Thread(
                target=work,
                args=(turns, server, valid, folder / "trials", args, report),
                daemon=True,
            )
            for server in servers
        ]
        for lane in lanes:
            lane.start()
        try:
            for lane in lanes:
                lane.join()
        except (KeyboardInterrupt, SystemExit):  # print the table of the trials so far
            print("stopped", file=sys.stderr)
        report.close()
    for lane in lanes:  # their commands have ended with the servers
        lane.join(30)
    return report


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the trials, prints the table and returns the exit status."""
    args = parse(argv)
    args.project = os.path.abspath(args.project)
    for number in (signal.SIGHUP, signal.SIGTERM):  # clean up before ending
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="torture-", ignore_cleanup_errors=True) as folder:
        report = torture(args, pathlib.Path(folder))
    print("\n".join(report.table()))
    return report.status()


if __name__ == "__main__":
    sys.exit(main())
