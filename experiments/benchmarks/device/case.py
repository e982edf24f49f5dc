"""Runs one case in this process and prints its numbers, one JSON value per line.

    echo go | python -m experiments.benchmarks.device.case profile student 960 8 bfloat16

Before it compiles or times something, it announces that and waits for a line on stdin.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from experiments.benchmarks.device.runner import end_with_parent


def begin(phase: str) -> None:
    """Announces what comes next, "compiling" or "timing", and waits for permission to start."""
    print(json.dumps({"phase": phase}), flush=True)
    sys.stdin.readline()


def require_device() -> None:
    """Ends this process with one line where JAX has no device of the platform asked for."""
    import jax

    try:
        jax.devices()
    except (RuntimeError, AssertionError):  # the latter where the platform's plugin is missing
        asked = os.environ.get("JAX_PLATFORMS", "")
        sys.exit(f"error: JAX finds no {asked} device here; --device cpu --quick rehearses the run")


def main(argv: Sequence[str]) -> None:
    """Runs the case that the arguments name."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("kind", choices=("machine", "profile", "against", "warm", "forms",
                                            "options", "finetune"))  # fmt: skip
    arguments.add_argument(
        "values", nargs="*", help="of the kind: network, side, batch size, number format"
    )
    arguments.add_argument("--quick", action="store_true", help="small sizes")
    arguments.add_argument("--folder", default=".", help="for files (default: the current one)")
    args = arguments.parse_args(argv)
    end_with_parent()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # leaves memory to PyTorch
    rows: Iterable[dict[str, Any]]
    if args.kind == "finetune":  # runs commands: this process must not hold the device
        from experiments.benchmarks.device import finetune

        rows = finetune.run(args.folder, args.quick, *args.values)
    else:
        from experiments.benchmarks.device import forms, measures
        from ppocr_jax.runtime import process

        process.keep_freed_memory()
        process.keep_programs()
        require_device()
        functions: dict[str, Callable[..., Iterable[dict[str, Any]]]] = {
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
