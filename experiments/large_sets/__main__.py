"""Measures what a million images cost a run, and pictures in shards against files: one table.

    python -m experiments.large_sets --data icdar2015
    python -m experiments.large_sets --data icdar2015 --images 100000 --only index check

The set is made of ICDAR 2015's training labels, repeated; the pictures are the same files. Parts:
index (made, and opened again), order (of an epoch), train (seconds to the first update and private
memory of every process, against the labels once), check (check_data), packed (pictures a second
from files and from shards, with a warm cache, and with a cold one for who may empty the system's).
"""

import json
import pathlib
import tempfile

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


def main(argv):
    arguments = cli.parser(__doc__)
    add = arguments.add_argument
    add("--data", required=True, help="folder of ICDAR2015")
    add("--images", type=int, default=1_000_000, help="of the large set; default: 1000000")
    add("--turns", type=int, default=1, help="runs of each case of the part train; default: 1")
    add("--only", choices=PARTS, nargs="+", default=list(PARTS), help="parts")
    add("--folder", default="", help="where the set is made and left; default: none is left")
    add("--output", default="large_sets.json", help="file for the numbers")
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
