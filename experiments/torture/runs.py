"""What a run gives in the end, and whether that is what an undisturbed one gives."""

import json
import re

from experiments.torture.ground import steps_of
from experiments.torture.judge import require

TIMED = re.compile("time|_s$|wait|second")  # keys of records that no two runs share


def same_end(trial, workdir, records=True):
    """Raises Failure where a run that was disturbed does not end as one that was not, bit for bit.

    Args:
        trial: Trial.
        workdir: of the run, finished; its arguments were those of `Ground.short`.
        records: whether its records are compared too.
    """
    steps, sums, lines = result_of(workdir)
    good_steps, good_sums, good_lines = result_of(trial.ground.path("short"))
    require(steps == good_steps, f"ends at step {steps}, not {good_steps}")
    require(sums == good_sums, "SILENT: the last state is not that of an undisturbed run")
    if records:
        require(lines == good_lines, f"other records: {_first_difference(lines, good_lines)}")


def result_of(workdir):
    """`(last step, checksums of its state, records but for the time they took)`."""
    steps = steps_of(workdir)
    meta = workdir / "checkpoints" / str(steps[-1]) / "meta" / "metadata" if steps else None
    sums = _find(json.loads(meta.read_text()), "checksums") if steps else None
    records = []
    for line in (workdir / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record.get("kind") in ("train", "eval"):
            records.append({k: v for k, v in record.items() if not TIMED.search(k)})
    return steps[-1:], sums, records


def _find(tree, name):
    """The value of a key, wherever it stands in a tree."""
    if isinstance(tree, dict):
        if name in tree:
            return tree[name]
        tree = list(tree.values())
    found = (_find(child, name) for child in tree) if isinstance(tree, list) else ()
    return next((value for value in found if value is not None), None)


def _first_difference(lines, good):
    """Where the records of a run begin to differ from those of an undisturbed one."""
    if len(lines) != len(good):
        return f"{len(lines)} instead of {len(good)}"
    pairs = zip(lines, good, strict=True)
    wrong = [f"{one} instead of {other}" for one, other in pairs if one != other]
    return wrong[0][:300] if wrong else "none"
