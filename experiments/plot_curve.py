"""Plots training curves: `python -m experiments.plot_curve OUT.png RUN [RUN ...]`.

Shows the total loss and the validation hmean by step, from `metrics.jsonl` in each run's workdir.
"""

import json
import os
import pathlib
import sys
from collections.abc import Sequence

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


def read(workdir: str | os.PathLike[str], kind: str, name: str) -> tuple[list[int], list[float]]:
    """Returns `(steps, values)` of one metric.

    Args:
        workdir: folder with `metrics.jsonl`.
        kind: of the records, "train" or "eval".
        name: key of the metric in those records.
    """
    lines = (pathlib.Path(workdir) / "metrics.jsonl").read_text().splitlines()
    records = [record for record in map(json.loads, lines) if record["kind"] == kind]
    return [record["step"] for record in records], [record[name] for record in records]


def plot(out: str | os.PathLike[str], workdirs: Sequence[str | os.PathLike[str]]) -> None:
    """Writes a picture with the total loss on the left and the validation hmean on the right."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
    for workdir in workdirs:
        label = pathlib.Path(workdir).name
        left.plot(*read(workdir, "train", "total"), label=label)
        right.plot(*read(workdir, "eval", "hmean"), marker="o", label=label)
    left.set(xlabel="step", ylabel="total loss")
    right.set(xlabel="step", ylabel="validation hmean")
    right.legend()
    figure.tight_layout()
    figure.savefig(out, dpi=90)


if __name__ == "__main__":
    plot(sys.argv[1], sys.argv[2:])
