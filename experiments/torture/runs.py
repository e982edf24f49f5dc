"""Compares the end of a disturbed run with that of an undisturbed one."""

import json
import pathlib
import re
from typing import Any

from experiments.torture.judge import require
from experiments.torture.trial import Trial
from experiments.torture.valid import steps_of

TIMED = re.compile("time|_s$|wait|second")  # keys of log records that differ from run to run


def same_end(trial: Trial, workdir: pathlib.Path, records: bool = True) -> None:
    """Checks that a disturbed run ended like an undisturbed one, bit for bit.

    Args:
        trial: the trial.
        workdir: of the finished run, which had the arguments of `ValidInputs.short`.
        records: whether to compare the log records too.

    Raises:
        Failure: it did not.
    """
    steps, sums, lines = result_of(workdir)
    good_steps, good_sums, good_lines = result_of(trial.valid.path("short"))
    require(steps == good_steps, f"ends at step {steps}, not {good_steps}")
    require(sums == good_sums, "SILENT: the last checkpoint is not that of an undisturbed run")
    if records:
        require(lines == good_lines, f"other log records: {_first_difference(lines, good_lines)}")


def result_of(workdir: pathlib.Path) -> tuple[list[int], Any, list[dict[str, Any]]]:
    """Returns `([last step], checksums of its checkpoint, log records without their times)`."""
    steps = steps_of(workdir)
    sums = None
    if steps:
        meta = workdir / "checkpoints" / str(steps[-1]) / "meta" / "metadata"
        sums = _find(json.loads(meta.read_text()), "checksums")
    records = []
    for line in (workdir / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record.get("kind") in ("train", "eval"):
            records.append({k: v for k, v in record.items() if not TIMED.search(k)})
    return steps[-1:], sums, records


def _find(tree: Any, name: str) -> Any:
    """The value of a key, wherever it is in a tree; None if it is missing."""
    if isinstance(tree, dict):
        if name in tree:
            return tree[name]
        tree = list(tree.values())
    found = (_find(child, name) for child in tree) if isinstance(tree, list) else ()
    return next((value for value in found if value is not None), None)


def _first_difference(lines: list[dict[str, Any]], good: list[dict[str, Any]]) -> str:
    """The first log record that differs, or both counts if these differ."""
    if len(lines) != len(good):
        return f"{len(lines)} instead of {len(good)}"
    pairs = zip(lines, good, strict=True)
    wrong = [f"{one} instead of {other}" for one, other in pairs if one != other]
    return wrong[0][:300] if wrong else "none"
