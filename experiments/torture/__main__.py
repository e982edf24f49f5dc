"""Trials at random against the commands of a checkout: kills, damage, floods, hostile input.

    python -m experiments.torture --minutes 30 --seed 0
    python -m experiments.torture --minutes 30 --seed 0 --project ../older --output runs/torture

Every kind of trial takes its turn until the time is over, three trials at a time; where a slow
machine has not come to enough of each by then, for up to half that time more. Prints a table with
a row per kind, and keeps of each kind that failed the smallest input, with its command and what
came out, below `--output`. The status is 1 when a trial failed or a kind had too few trials.
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

from experiments.torture.commands import Server
from experiments.torture.ground import Ground
from experiments.torture.judge import Failure
from experiments.torture.kinds import KINDS
from experiments.torture.report import Report
from experiments.torture.trial import Trial

LANES = 3  # trials at a time: on two cores, since some trials only wait
# The compiler works less: what is tried are not its programs.
QUICKLY = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
HANGS = 3  # trials of a kind that went on for ever, after which the others get less time
SHORT_PATIENCE, LONG_PATIENCE = 5.0, 60.0  # seconds beyond the usual ones
LEAST = 30  # trials of each kind that make a run of half an hour one


def parse(argv):
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = arguments.add_argument
    add("--minutes", type=float, default=30.0, help="how long new trials begin")
    add("--seed", type=int, default=0)
    add("--rounds", type=int, default=10**6, help="most trials of each kind; default: no limit")
    add("--project", default=".", metavar="DIR", help="the checkout that is tried; default: this")
    add("--output", metavar="DIR", help="folder for failing inputs; default: a temporary one")
    add("--kinds", nargs="+", choices=list(KINDS), metavar="KIND", help="; ".join(KINDS))
    add("--least", type=int, help=f"trials that each kind must have; default: one a minute, "
        f"{LEAST} at most")  # fmt: skip
    return arguments.parse_args(argv)


class Turns:
    """Whose turn it is: each kind in order, round after round, until the time is over.

    Half as long again at most, where that takes `least` rounds.
    """

    def __init__(self, kinds, seconds, rounds, least):
        self._kinds, self._lock, self._count = list(kinds), threading.Lock(), 0
        self._least, self._last = least * len(self._kinds), rounds * len(self._kinds)
        now = time.monotonic()
        self._until, self._at_most = now + seconds, now + 1.5 * seconds

    def take(self):
        """`(kind, number)` of the next trial, None at the end."""
        with self._lock:
            until = self._at_most if self._count < self._least else self._until
            if time.monotonic() > until or self._count == self._last:
                return None
            number, place = divmod(self._count, len(self._kinds))
            self._count += 1
            return self._kinds[place], number


def work(turns, server, ground, folder, args, report):
    """Makes trials in one lane until the time is over."""
    while not report.closed and (turn := turns.take()):
        kind, number = turn
        place = folder / f"{kind}-{number}"
        patience = SHORT_PATIENCE if report.hangs(kind) >= HANGS else LONG_PATIENCE
        trial = Trial(args.seed, kind, number, place, ground, server, patience)
        started = time.monotonic()
        try:
            KINDS[kind](trial)
            failure = None
        except Failure as broken:
            failure = str(broken)
        except Exception:  # the tool's own: to be seen, and no reason to end the other trials
            failure = "the tool itself: " + traceback.format_exc()
        report.add(kind, number, trial, failure, time.monotonic() - started)
        shutil.rmtree(place, ignore_errors=True)


def torture(args, folder):
    """All trials; the `Report` on them."""
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
            print("its imports start threads: every command is a fresh process", file=sys.stderr)
        ground = Ground(folder / "ground", servers[0])
        ground.build(pair=bool({"host-dies", "hosts-differ"} & set(kinds)))
        turns = Turns(kinds, 60 * args.minutes, args.rounds, least)
        lanes = [
            threading.Thread(
                target=work,
                args=(turns, server, ground, folder / "trials", args, report),
                daemon=True,
            )
            for server in servers
        ]
        for lane in lanes:
            lane.start()
        try:
            for lane in lanes:
                lane.join()
        except (KeyboardInterrupt, SystemExit):  # the table is of the trials until then
            print("stopped", file=sys.stderr)
        report.close()
    for lane in lanes:  # whose command, if any, has ended with its server
        lane.join(30)
    return report


def main(argv=None):
    args = parse(argv)
    args.project = os.path.abspath(args.project)
    for number in (signal.SIGHUP, signal.SIGTERM):  # all is cleared away then too
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="torture-", ignore_cleanup_errors=True) as folder:
        report = torture(args, pathlib.Path(folder))
    print("\n".join(report.table()))
    return report.status()


if __name__ == "__main__":
    sys.exit(main())
