"""Measures what a million images cost a training run, and pictures in shards against files.

    python -m experiments.large_sets --data icdar2015
    python -m experiments.large_sets --data icdar2015 --images 100000 --only index check

The large set repeats ICDAR 2015's training labels; all of them refer to the same picture files.
Parts: index (building it, and opening it again), order (shuffling an epoch), train (seconds to the
first step and private memory of every process, compared with the labels taken once), check
(check_data), packed (pictures per second from files and from shards, with a warm cache, and with a
cold one if the user may empty the system's cache).
"""

import json
import pathlib
import tempfile
from collections.abc import Sequence

from experiments.benchmarks.measure import describe_machine
from experiments.large_sets import parts
from experiments.large_sets.sets import make_set
from ppocr_jax import cli

PARTS = {
    "index": parts.run_index,
    "order": parts.run_order,
    "train": parts.run_train,
    "check": parts.run_check,
    "packed": parts.run_packed,
}


def main(argv: Sequence[str]) -> int:
    """Prints a table of the measurements and writes them as JSON; returns the exit status."""
    arguments = cli.parser(__doc__)
    add = arguments.add_argument
    add("--data", required=True, help="folder of ICDAR2015, with PaddleOCR's label files")
    add("--images", type=int, default=1_000_000, help="in the large set (default: 1000000)")
    add("--turns", type=int, default=1, help="repetitions in the part train (default: 1)")
    add("--only", choices=PARTS, nargs="+", default=list(PARTS), help="parts to measure")
    add("--folder", default="", help="where to make and keep the set (default: a temporary folder)")
    add("--output", default="large_sets.json", help="JSON file for the numbers")
    args = arguments.parse_args(argv)
    result = {"machine": describe_machine(), "images": args.images, "rows": []}
    print(" | ".join(f"{key} {value}" for key, value in result["machine"].items()))
    print("\n| part | case | what | value |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(args.folder or temporary)
        make_set(folder, args.data, args.images)
        for part in args.only:
            for case, what, value, unit in PARTS[part](folder, args):
                result["rows"].append(dict(part=part, case=case, what=what, value=value, unit=unit))
                print(f"| {part} | {case} | {what} | {value:.4g} {unit} |", flush=True)
    pathlib.Path(args.output).write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    cli.run(main)
