"""Plots training curves: `python -m experiments.plot_curve OUT.png RUN [RUN ...]`.

Shows by step the total loss and the validation hmean of every role, from `metrics.jsonl` in each
run's workdir.
"""

import json
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


def read(workdir: str | os.PathLike[str], kind: str) -> list[dict[str, Any]]:
    """Returns the records of one kind, "train" or "eval", from the `metrics.jsonl` of a workdir."""
    lines = (pathlib.Path(workdir) / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


def plot(out: str | os.PathLike[str], workdirs: Sequence[str | os.PathLike[str]]) -> None:
    """Writes a picture with the total loss on the left and the validation hmean on the right.

    A run whose evaluations score several roles has one line for each of them.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
    for workdir in workdirs:
        label = pathlib.Path(workdir).name
        losses = [(record["step"], record["total"]) for record in read(workdir, "train")]
        left.plot(*zip(*losses, strict=True), label=label)
        scored = read(workdir, "eval")
        roles = list(dict.fromkeys(record["role"] for record in scored))
        for role in roles:
            of_role = [record for record in scored if record["role"] == role]
            points = [(record["step"], record["hmean"]) for record in of_role]
            name = label if len(roles) == 1 else f"{label}, {role}"
            right.plot(*zip(*points, strict=True), marker="o", label=name)
    left.set(xlabel="step", ylabel="total loss")
    right.set(xlabel="step", ylabel="validation hmean")
    right.legend()
    figure.tight_layout()
    figure.savefig(out, dpi=90)


if __name__ == "__main__":
    plot(sys.argv[1], sys.argv[2:])
