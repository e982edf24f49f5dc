"""The cases of a run that measures a device, in order of usefulness, and the run itself."""

import argparse
import importlib.util
import os
import pathlib
import time

from experiments.benchmarks.device import runner
from experiments.benchmarks.device.records import Records, read
from experiments.benchmarks.device.runner import Beside, Case
from ppocr_jax.errors import UserError

PROFILES = (  # (network, side in pixels, images)
    ("student", 640, 32),
    ("student", 960, 8),
    ("CML", 960, 8),
    ("DML", 960, 4),
)
RATIOS = (*PROFILES, ("CML", 640, 16), ("DML", 640, 8))
FORMS = ("PyTorch channels-last", "torch.compile")
QUICK = ((("student", 64, 1)), ("CML", 64, 1), ("DML", 64, 1))
LEAST_S, MOST_S = 30, 240  # for a case that has to compile everything
QUICK_LEAST_S, QUICK_MOST_S = 10, 120


def plan(quick: bool, torch: bool, folder: pathlib.Path) -> list[Case]:
    """Lists the cases: profiles in bfloat16, in float32, PyTorch, forms of convolutions, options.

    Args:
        quick: whether as a rehearsal, with small networks.
        torch: whether PyTorch is installed.
        folder: of the run.
    """
    least, most = (QUICK_LEAST_S, QUICK_MOST_S) if quick else (LEAST_S, MOST_S)
    more = [*["--quick"] * quick, "--folder", str(folder)]

    def case(name: str, *arguments: object, at_least: float = least) -> Case:
        return Case(name, (*map(str, arguments), *more), at_least, most)

    def step(kind: str, name: str, side: int, size: int, width: str, *values: str) -> Case:
        label = f"{kind} {name} {size} x {side}x{side} {width}"
        return case(label, kind, name, side, size, width, *values)

    # If time runs out, the end of the list is lost. So first where the time goes, in bfloat16; then
    # one float32 profile and one comparison with PyTorch; then the rest of both.
    profiles, ratios = (QUICK, QUICK[:1]) if quick else (PROFILES, RATIOS)
    cases = [case("machine", "machine", at_least=least / 2)]
    cases += [step("profile", *where, "bfloat16") for where in profiles]
    narrow = [step("against", *where, "bfloat16", *FORMS) for where in ratios]
    wide = [step("profile", *where, w) for where in profiles[:2] for w in ("float32", "tf32")]
    wide += [step("profile", *where, "tf32") for where in profiles[2:]]
    rest = [step("against", *where, w, *FORMS) for w in ("tf32", "float32") for where in ratios]
    cases += [*wide[:1], *narrow[:1], *wide[1:], *narrow[1:], *rest] if torch else wide
    cases.append(case("forms of convolutions", "forms", "bfloat16"))
    cases.append(step("options", *profiles[0 if quick else 1], "bfloat16"))
    return cases


def run(args: argparse.Namespace, command: str) -> int:
    """Measures a device for `args.minutes`, the last `args.train` of them by fine-tuning.

    Args:
        args: `device`, `quick`, `data`, `weights`, `minutes`, `train`, `output`.
        command: what the user typed, for the page.

    Returns:
        Exit status: 0 if anything was measured.

    Raises:
        UserError: the first case found no device.
    """
    began = time.monotonic() - runner.process_age()
    minutes = args.minutes or args.train
    end, records = began + 60 * minutes, Records(args.output)
    records.add("start", command=command, time=time.time(), minutes=minutes, train=args.train)
    torch = importlib.util.find_spec("torch") is not None
    # The cases, while another process fills the cache of `torch.compile`.
    beside = None
    try:
        if args.minutes:
            cases = plan(args.quick, torch, records.folder)
            ends = end - 60 * args.train
            runner.run_cases(cases[:1], records, ends)
            require_device(args.device, records)
            if torch and not args.quick and os.environ.get("JAX_PLATFORMS") == "cuda":
                names = [":".join(map(str, (*where, "bfloat16"))) for where in RATIOS]
                beside = Beside(["warm", *names], records.folder)
            runner.run_cases(cases[1:], records, ends, beside)
            if not torch:
                how = "not run: PyTorch is not installed here"
                records.add("end", case="against PyTorch", how=how, seconds=0)
    finally:
        if beside:
            beside.end()
    # The fine-tuning has what is left.
    if args.train:
        seconds = end - runner.RESERVE_S - time.monotonic()
        arguments = (
            "finetune", f"{seconds:.0f}", args.data, args.weights, *["--quick"] * args.quick,
            "--folder", str(records.folder),
        )  # fmt: skip
        runner.run_cases([Case("fine-tune", arguments, 20, seconds)], records, end)
    records.add("done")
    records.write_page()
    print(f"{records.folder}/summary.md")
    return 0 if any_row(records.folder) else 1


def require_device(device: str | None, records: Records) -> None:
    """Ends the run if the first case found no device.

    Raises:
        UserError: nothing has been measured.
    """
    if not any_row(records.folder):
        how = next(r["how"] for r in read(records.folder) if r["kind"] == "end")
        name = f"--device {device}" if device else "the device"
        raise UserError(f"{name}: {how}; see {records.folder}/cases.log")


def any_row(folder: pathlib.Path) -> bool:
    """Whether the last run in a folder has measured anything."""
    return any(record["kind"] == "row" for record in read(folder))
