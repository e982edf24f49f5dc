"""Measures the parts of training and evaluation, and prints one table.

    python -m experiments.benchmarks --data icdar2015 --weights student.pdparams
    python -m experiments.benchmarks --only step --quick

Parts: step and operations (against the same in PyTorch, where it is installed), data, loop,
postprocess, metric, evaluate, startup, memory, and program: what the step's program does on an
H100, where the CUDA plugin is installed. Times are medians after warm-up, with compilation
apart; sides that are compared take turns in one process. Without `--data` drawn scenes are used.

    python -m experiments.benchmarks --device gpu --minutes 14 --train 5 --output gpu \\
        --data icdar2015 --weights student.pdparams

With `--minutes` the run measures a device in that time, the most worthy cases first, and keeps
numbers as they come: see device.md. `--train` minutes of it are for a fine-tune on `--data`.
"""

import json
import os
import pathlib
import tempfile

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


def main(argv):
    arguments = cli.parser(__doc__)
    arguments.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS), help="parts")
    arguments.add_argument("--device", help="cpu, gpu or tpu; default: what JAX finds")
    arguments.add_argument("--quick", action="store_true", help="small sizes, few repetitions")
    arguments.add_argument("--data", default="", help="folder of ICDAR2015")
    arguments.add_argument("--weights", default="", help="of the student, for real maps")
    arguments.add_argument("--steps", type=int, default=2000, help="updates of the memory part")
    arguments.add_argument("--minutes", type=float, default=0, help="measure the device in so many")
    arguments.add_argument("--train", type=float, default=0, help="of these, for a fine-tune")
    arguments.add_argument("--output", help="file for the numbers, benchmarks.json; with --minutes "
                           "or --train a folder, device_run")  # fmt: skip
    args = arguments.parse_args(argv)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs room too
    if args.device:
        platform = {"gpu": "cuda"}.get(args.device, args.device)
        os.environ["JAX_PLATFORMS"] = platform  # for the processes that this one starts
        jax.config.update("jax_platforms", platform)
    if args.minutes or args.train:
        check_minutes(args)
        args.output = args.output or "device_run"
        return plan.run(args, " ".join(["python -m experiments.benchmarks", *argv]))
    process.keep_freed_memory()
    result = {"machine": describe_machine(), "rows": []}
    print(" | ".join(f"{key} {value}" for key, value in result["machine"].items()))
    print("\n| part | case | what | value |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for part in args.only:
            for case, what, value, unit in PARTS[part](args, folder):
                result["rows"].append(dict(part=part, case=case, what=what, value=value, unit=unit))
                print(f"| {part} | {case} | {what} | {value:.4g} {unit} |", flush=True)
    epath.Path(args.output or "benchmarks.json").write_text(json.dumps(result, indent=1) + "\n")
    return 0


def check_minutes(args):
    """Refuses what a run of so many minutes cannot be."""
    if min(args.minutes, args.train) < 0 or 0 < args.minutes <= args.train:
        raise UserError(
            f"--minutes {args.minutes:g} --train {args.train:g}: should be minutes of the whole, "
            "and fewer of them for the fine-tune"
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
