"""Which cases a run makes, in order of worth, and the run itself."""

import importlib.util
import os
import time

from experiments.benchmarks.device import runner
from experiments.benchmarks.device.records import Records, read
from experiments.benchmarks.device.runner import Beside, Case
from ppocr_jax.errors import UserError

PROFILES = (
    ("student", 640, 32),
    ("student", 960, 8),
    ("CML", 960, 8),
    ("DML", 960, 4),
)
RATIOS = (*PROFILES, ("CML", 640, 16), ("DML", 640, 8))
FORMS = ("PyTorch channels-last", "torch.compile")
QUICK = ((("student", 64, 1)), ("CML", 64, 1), ("DML", 64, 1))
LEAST_S, MOST_S = 30, 240  # of a case that compiles; with nothing in the cache
QUICK_LEAST_S, QUICK_MOST_S = 10, 120


def plan(quick, torch, folder):
    """`[Case]`: profiles in bfloat16, then in float32, PyTorch, forms of convolutions, options."""
    least, most = (QUICK_LEAST_S, QUICK_MOST_S) if quick else (LEAST_S, MOST_S)
    more = [*["--quick"] * quick, "--folder", str(folder)]

    def case(name, *arguments, at_least=least):
        return Case(name, (*map(str, arguments), *more), at_least, most)

    def step(kind, name, side, size, width, *values):
        label = f"{kind} {name} {size} x {side}x{side} {width}"
        return case(label, kind, name, side, size, width, *values)

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


def run(args, command):
    """A run of `args.minutes`, of which `args.train` are kept for a fine-tune.

    Args:
        args: `device`, `quick`, `data`, `weights`, `minutes`, `train`, `output`.
        command: what the user typed, for the page.

    Returns:
        Exit status: 0 when something was measured.
    """
    began = time.monotonic() - runner.process_age()
    minutes = args.minutes or args.train
    end, records = began + 60 * minutes, Records(args.output)
    records.add("start", command=command, time=time.time(), minutes=minutes, train=args.train)
    torch = importlib.util.find_spec("torch") is not None
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
    if args.train:
        seconds = end - runner.RESERVE_S - time.monotonic()
        arguments = ("finetune", f"{seconds:.0f}", args.data, args.weights)
        arguments += (*["--quick"] * args.quick, "--folder", str(records.folder))
        runner.run_cases([Case("fine-tune", arguments, 20, seconds)], records, end)
    records.add("done")
    records.write_page()
    print(f"{records.folder}/summary.md")
    return 0 if any_row(records.folder) else 1


def require_device(device, records):
    """Refuses to go on where the first case found nothing to measure on."""
    if not any_row(records.folder):
        how = next(r["how"] for r in read(records.folder) if r["kind"] == "end")
        name = f"--device {device}" if device else "the device"
        raise UserError(f"{name}: {how}; {records.folder}/cases.log has all of it")


def any_row(folder):
    """Whether the last run in a folder has measured something."""
    return any(record["kind"] == "row" for record in read(folder))
