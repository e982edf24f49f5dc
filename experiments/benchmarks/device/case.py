"""One case of a run, in a process of its own: what it prints is a JSON value per line.

    echo go | python -m experiments.benchmarks.device.case profile student 960 8 bfloat16

Before it compiles and before it times something it says so, and waits for a line on stdin.
"""

import argparse
import json
import os
import sys

from experiments.benchmarks.device.runner import end_with_parent


def begin(phase):
    """Says what comes next, `compiling` or `timing`, and waits until it may begin."""
    print(json.dumps({"phase": phase}), flush=True)
    sys.stdin.readline()


def main(argv):
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("kind", choices=("machine", "profile", "against", "warm", "forms",
                                            "options", "finetune"))  # fmt: skip
    arguments.add_argument("values", nargs="*", help="of the kind: network, side, batch, numbers")
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--folder", default=".", help="for files")
    args = arguments.parse_args(argv)
    end_with_parent()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs room too
    if args.kind == "finetune":
        from experiments.benchmarks.device import finetune

        rows = finetune.run(args.folder, args.quick, *args.values)
    else:
        from experiments.benchmarks.device import forms, measures
        from ppocr_jax.runtime import process

        process.keep_freed_memory()
        process.keep_programs()
        functions = {
            "machine": measures.describe,
            "profile": measures.profile,
            "against": measures.against,
            "warm": measures.warm,
            "options": measures.options,
            "forms": forms.run,
        }
        rows = functions[args.kind](args, *args.values)
    for row in rows:
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
