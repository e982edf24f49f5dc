"""Collects the results: counts by kind, the table, and the smallest failing input of each kind."""

import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.torture.damage import files_below
from experiments.torture.trial import Trial


class Report:
    """Collects the results of trials; several threads may add to it.

    Args:
        kinds: their names.
        least: how many trials each kind should have.
        output: folder for failing inputs.

    Attributes:
        closed: whether further results are ignored.
    """

    def __init__(self, kinds: Sequence[str], least: int, output: Path) -> None:
        self._trials, self._seconds = dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0.0)
        self._cpu = dict.fromkeys(kinds, 0.0)
        self._failures: dict[str, list[tuple[int, str]]] = {kind: [] for kind in kinds}
        self._smallest: dict[str, tuple[float, int]] = {}  # kind -> (bytes, number)
        self._lock = threading.Lock()
        self._least, self._output, self.closed = least, output, False

    def add(
        self, kind: str, number: int, trial: Trial, failure: str | None, seconds: float
    ) -> None:
        """Adds a trial.

        Args:
            kind, number: of the trial.
            trial: with its input, note and outcomes.
            failure: the reason; None for success.
            seconds: that it took.
        """
        with self._lock:
            if self.closed:
                return
            self._trials[kind] += 1
            self._seconds[kind] += seconds
            self._cpu[kind] += sum(outcome.cpu for outcome in trial.outcomes)
            if failure:
                self._failures[kind].append((number, failure))
                size = _size(trial.input)
                if size < self._smallest.get(kind, (float("inf"), 0))[0]:
                    self._smallest[kind] = size, number
                    self._keep(kind, number, trial, failure)
                print(
                    f"{kind} {number}: {trial.note}: {failure}"[:400], file=sys.stderr, flush=True
                )

    def close(self) -> None:
        """Ignores further results: trials that are still running have been stopped."""
        with self._lock:
            self.closed = True

    def hangs(self, kind: str) -> int:
        """Returns how many trials of a kind had a command that hung."""
        with self._lock:
            return sum(reason.startswith("still running") for _, reason in self._failures[kind])

    def table(self) -> Iterator[str]:
        """Yields the table as lines of Markdown."""
        yield "| kind | trials | failures | seconds per trial | CPU seconds | first reason |"
        yield "| --- | --- | --- | --- | --- | --- |"
        for kind, count in self._trials.items():
            failures = sorted(self._failures[kind])
            reason = failures[0][1].splitlines()[0][:150].replace("|", "\\|") if failures else ""
            few = " (too few)" if count < self._least else ""
            means = [total[kind] / max(count, 1) for total in (self._seconds, self._cpu)]
            times = " | ".join(f"{mean:.1f}" for mean in means)
            yield f"| {kind} | {count}{few} | {len(failures)} | {times} | {reason} |"
        found = sum(map(bool, self._failures.values()))
        yield (
            f"\n{sum(self._trials.values())} trials, {sum(map(len, self._failures.values()))} "
            f"failures, in {found} of {len(self._trials)} kinds"
            + (f"; the smallest input of each: {self._output}" if found else "")
        )

    def status(self) -> int:
        """Returns the exit status: 1 if a trial failed or a kind had too few trials, else 0."""
        few = any(count < self._least for count in self._trials.values())
        return int(few or any(self._failures.values()))

    def _keep(self, kind: str, number: int, trial: Trial, failure: str) -> None:
        """Saves the input of a failed trial, its commands and their output."""
        folder = self._output / kind
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if trial.input and trial.input.is_dir():
            shutil.copytree(trial.input, folder / trial.input.name, symlinks=True,
                            ignore=_no_plain_file)  # fmt: skip
        elif trial.input and trial.input.is_file():
            shutil.copy2(trial.input, folder / f"input{trial.input.suffix}")
        lines = [f"trial {number}: {trial.note}", f"failure: {failure}", ""]
        for outcome in trial.outcomes:
            facts = f"status {outcome.status}, {outcome.seconds:.1f} s, {outcome.peak_mb:.0f} MB"
            lines += [f"$ {outcome.line}", facts, outcome.out[-2000:], outcome.err[-6000:]]
        (folder / "trial.txt").write_text("\n".join(lines), errors="backslashreplace")


def _no_plain_file(folder: str, names: list[str]) -> list[str]:
    """Names of pipes and devices, on which a copy would hang."""
    paths = [Path(folder, name) for name in names]
    return [path.name for path in paths if not (path.is_file() or path.is_dir())]


def _size(path: Path | None) -> int:
    """Bytes of a file, or of all files in a folder; 0 for pipes and devices."""
    if path is None or not path.exists():
        return 0
    if not (path.is_dir() or path.is_file()):
        return 0
    return sum(p.stat().st_size for p in files_below(path))
