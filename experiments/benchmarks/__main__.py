"""Measures the parts of training and evaluation and prints a table.

    python -m experiments.benchmarks --data icdar2015 --weights student.pdparams
    python -m experiments.benchmarks --only step --quick

Parts: step and operations (compared with PyTorch if it is installed), data, loop, postprocess,
metric, evaluate, startup, memory, and program: what the training step does on an H100, read from
its compiled program if JAX's CUDA plugin is installed. Times are medians after warm-up, without
compilation; implementations that are compared alternate in one process. Without `--data` the images
are synthetic scenes.

    python -m experiments.benchmarks --device gpu --minutes 14 --train 5 --output gpu \\
        --data icdar2015 --weights student.pdparams

With `--minutes` the run measures a device in that time: the most useful cases come first, and every
number is saved at once (see device.md). `--train` minutes of it are for fine-tuning on `--data`.
"""

import argparse
import json
import os
import pathlib
import tempfile
from collections.abc import Sequence

import jax
from etils import epath

from experiments.benchmarks import feeding, host, memory, operations, program, startup, steps
from experiments.benchmarks.device import finetune, plan
from experiments.benchmarks.measure import describe_machine
from ppocr_jax import cli
from ppocr_jax.errors import UserError
from ppocr_jax.runtime import process

PARTS = {
    "step": steps.run,
    "operations": operations.run,
    "data": host.run_data,
    "loop": feeding.run,
    "postprocess": host.run_postprocess,
    "metric": host.run_metric,
    "evaluate": host.run_evaluate,
    "startup": startup.run,
    "memory": memory.run,
    "program": program.run,
}


def main(argv: Sequence[str]) -> int:
    """Measures the parts, or a device in limited time; returns the exit status."""
    arguments = cli.parser(__doc__)
    add = arguments.add_argument
    add("--only", choices=PARTS, nargs="+", default=list(PARTS), help="parts to measure")
    add("--device", help="cpu, gpu or tpu; default: JAX's choice")
    add("--quick", action="store_true", help="small sizes, few repetitions")
    add("--data", default="", help="folder of ICDAR2015, with PaddleOCR's label files")
    add("--weights", default="", help="the published student's weights, for real maps")
    add("--steps", type=int, default=2000, help="training steps in the memory part")
    add("--minutes", type=float, default=0, help="measure the device in this time")
    add("--train", type=float, default=0, help="of these minutes, for fine-tuning")
    add("--output", help="JSON file for the numbers, by default benchmarks.json; with --minutes or "
        "--train a folder, by default device_run")  # fmt: skip
    args = arguments.parse_args(argv)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # leaves memory to PyTorch
    if args.device:
        platform = {"gpu": "cuda"}.get(args.device, args.device)
        os.environ["JAX_PLATFORMS"] = platform  # for child processes
        jax.config.update("jax_platforms", platform)
    process.choose_platform()
    if args.minutes or args.train:
        check_minutes(args)
        args.output = args.output or "device_run"
        return plan.run(args, " ".join(["python -m experiments.benchmarks", *argv]))
    process.keep_freed_memory()
    machine, rows = describe_machine(), []
    print(" | ".join(f"{key} {value}" for key, value in machine.items()))
    print("\n| part | case | what | value |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for part in args.only:
            for case, what, value, unit in PARTS[part](args, folder):
                rows.append(dict(part=part, case=case, what=what, value=value, unit=unit))
                print(f"| {part} | {case} | {what} | {value:.4g} {unit} |", flush=True)
    text = json.dumps({"machine": machine, "rows": rows}, indent=1)
    epath.Path(args.output or "benchmarks.json").write_text(text + "\n")
    return 0


def check_minutes(args: argparse.Namespace) -> None:
    """Checks the options of a run with limited time.

    Raises:
        UserError: the minutes do not add up, or fine-tuning lacks data or weights.
    """
    if min(args.minutes, args.train) < 0 or 0 < args.minutes <= args.train:
        raise UserError(
            f"--minutes {args.minutes:g} --train {args.train:g}: --train is a part of --minutes: "
            "give positive numbers, --train the smaller one"
        )
    files = [pathlib.Path(args.data) / name for name in (finetune.TRAIN, finetune.TEST)]
    missing = [path for path in (*files, pathlib.Path(args.weights)) if not path.is_file()]
    if args.train and not args.quick and missing:
        raise UserError(
            f"{missing[0]}: no such file; --train needs --data, ICDAR2015 with PaddleOCR's label "
            "files, and --weights, the published student (or --quick)"
        )


if __name__ == "__main__":
    cli.run(main)
