"""Draws the curves of runs: `python -m experiments.plot_curve OUT.png RUN [RUN ...]`.

Total loss and validation hmean over steps, from the `metrics.jsonl` of each workdir.
"""

import json
import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


def read(workdir, kind, name):
    """`(steps, values)` of one figure of a run."""
    lines = (pathlib.Path(workdir) / "metrics.jsonl").read_text().splitlines()
    records = [record for record in map(json.loads, lines) if record["kind"] == kind]
    return [record["step"] for record in records], [record[name] for record in records]


def plot(out, workdirs):
    """Writes a picture with the total loss on the left and hmean on the right."""
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
