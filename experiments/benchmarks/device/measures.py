"""The measurements of a training step: a profile, the comparison with PyTorch, compiler options.

Every public function takes the arguments of a case, as text, and yields rows
`{"what", "value", "unit"}`.
"""

import argparse
import functools
import gzip
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmarks import steps
from experiments.benchmarks.ceilings import measure_ceilings, step_flops
from experiments.benchmarks.device import trace
from experiments.benchmarks.device.case import begin
from experiments.benchmarks.measure import WIDTHS, describe_machine, random_batch, take_turns

UPDATES, ROUNDS, PROFILED = 10, 5, 5  # steps per timed block; blocks; steps in a profile
QUICK_UPDATES, QUICK_ROUNDS, QUICK_PROFILED = 1, 2, 2
MOST_TRACE = 12 << 20  # bytes; larger profiles are not kept
Rows = Iterator[dict[str, Any]]
QUICK_SMALL = dict(
    backbone=dict(name="MobileNetV3", scale=0.35, squeeze_excite=False, blocks=(1, 3, 6, 12)),
    neck=dict(name="RSEFPN", channels=16, shortcut=True),
    head=dict(name="DBHead", kernels=(3, 2, 2), k=50.0),
)
QUICK_LARGE = dict(
    backbone=dict(name="ResNetVD", depths=(1, 1, 1, 1), width=8),
    neck=dict(name="LKPAN", channels=16, mode="lite"),
    head=dict(name="DBHead", kernels=(7, 2, 2), k=50.0),
)
# Without these options a quick case compiles for longer than it runs.
QUICK_OPTIONS: dict[str, Any] = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "without command buffers": {"xla_gpu_enable_command_buffer": ""},
    "autotuning with checks": {"xla_gpu_autotune_level": 4},
    "with Triton's products": {"xla_gpu_enable_triton_gemm": True},
    "latency hiding": {"xla_gpu_enable_latency_hiding_scheduler": True},
}
QUICK_CHOICES: dict[str, dict[str, Any]] = {
    "without fast loops": {"xla_cpu_enable_fast_math": False}
}


def row(what: str, value: float, unit: str) -> dict[str, Any]:
    """Returns one row."""
    return {"what": what, "value": float(value), "unit": unit}


def describe(args: argparse.Namespace) -> Rows:
    """Describes the machine and measures its copy bandwidth and matrix rates."""
    yield {"machine": describe_machine()}
    begin("timing")
    for width in WIDTHS:
        bandwidth, rate = measure_ceilings(width, args.quick)
        yield row(f"matrix rate, {width}", rate / 1e12, "TFLOP/s")
    yield row("copy bandwidth", bandwidth / 1e9, "GB/s")


class Step:
    """Our training step of a case, compiled; `block` runs several steps and waits once.

    Waiting after every step would add the host's latency to each of them.

    Args:
        args: of the case; `quick` chooses small networks and few repetitions.
        name: of the network, key of `steps.CONFIGS`.
        side: of the crops, in pixels.
        size: images per batch.
        width: number format, key of `WIDTHS`.
        options: XLA options besides our own.

    Attributes:
        ours: `steps.OurStep`.
        arrays, batch: the batch on the host and on the device.
        updates: steps per block.
        rounds: blocks to time.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        name: str,
        side: str | int,
        size: str | int,
        width: str,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.side, self.size, self.width = int(side), int(size), width
        self.updates = QUICK_UPDATES if args.quick else UPDATES
        self.rounds = QUICK_ROUNDS if args.quick else ROUNDS
        self.config = steps.load(name)
        if args.quick:
            small = {"student": QUICK_SMALL, "student2": QUICK_SMALL, "teacher": QUICK_LARGE}
            for role in self.config.roles:
                self.config.roles[role] = QUICK_LARGE if name == "DML" else small[role]
        self.arrays = random_batch(self.size, self.side)
        self.batch = jax.tree.map(jnp.asarray, self.arrays)
        cheap = QUICK_OPTIONS if args.quick and jax.default_backend() == "cpu" else {}
        self.ours = steps.OurStep(self.config, width).compile(
            self.batch, {**cheap, **(options or {})} or None
        )

    def block(self) -> None:
        """Runs `updates` steps and waits for the last."""
        self.ours.run(self.batch, self.updates)

    def compiled(self) -> Rows:
        """Yields compile time and temporary memory."""
        yield row("compile", self.ours.compile_seconds, "s")
        yield row("temporaries", self.ours.memory.temp_size_in_bytes / 2**30, "GiB")

    def reached(self, seconds: float) -> Rows:
        """Yields the rates that a step of this many seconds reaches."""
        yield row("step", seconds * 1e3, "ms")
        yield row("rate", self.size / seconds, "images/s")
        flops = step_flops(
            self.ours.models, self.ours.variables, self.config.trainable, self.batch["image"]
        )
        yield row("arithmetic", flops / seconds / 1e12, "TFLOP/s")
        traffic = self.ours.costs.get("bytes accessed", 0)
        yield row("traffic, by the compiler", traffic / seconds / 1e9, "GB/s")


def profile(args: argparse.Namespace, name: str, side: str, size: str, width: str) -> Rows:
    """Times a step, then profiles it; the profile is saved to the run's folder if it is small."""
    begin("compiling")
    step = Step(args, name, side, size, width)
    yield from step.compiled()
    begin("timing")
    step.block()
    yield from step.reached(_median(step))
    count = QUICK_PROFILED if args.quick else PROFILED
    with tempfile.TemporaryDirectory() as folder:
        paths = trace.record(lambda: step.ours.run(step.batch, count), folder)
        label = f"{name}_{size}x{side}_{width}"
        for number, path in enumerate(paths):
            _keep(path, pathlib.Path(args.folder) / f"{label}.{number}.xplane.pb.gz")
        kernels = trace.read_kernels(paths)
    for found in trace.tables(kernels, step.ours.program, count):
        yield row(*found)


def _median(step: Step) -> float:
    """Median seconds per step."""
    return take_turns({"ours": step.block}, step.rounds)["ours"] / step.updates


def _keep(path: pathlib.Path, target: pathlib.Path) -> None:
    data = gzip.compress(path.read_bytes())
    if len(data) <= MOST_TRACE:
        target.write_bytes(data)


def against(
    args: argparse.Namespace, name: str, side: str, size: str, width: str, *labels: str
) -> Rows:
    """Times the same step in PyTorch, alternating with ours.

    `labels` are keys of `steps.TORCH_FORMS`; without any, all are measured.
    """
    begin("compiling")
    step = Step(args, name, side, size, width)
    yield from step.compiled()
    first = step.ours(step.batch)
    sides: dict[str, Callable[[], Any]] = {"ppocr_jax": step.block}
    case = f"{name} {size} x {side}x{side} {width}"
    for label, other, given in steps.torch_sides(
        step.config, step.ours, width, step.arrays, labels or tuple(steps.TORCH_FORMS)
    ):
        started = time.perf_counter()
        total = float(other.gradients(given))
        yield row(f"first step, {label}", time.perf_counter() - started, "s")
        if width != "bfloat16":  # which is too coarse to compare by
            steps.compare(case, label, first, total, other.gradient_norm())
        sides[label] = functools.partial(_torch_block, other, given, step.updates)
    begin("timing")
    take_turns(sides, 1)  # warm-up
    seconds = take_turns(sides, step.rounds)
    for label, value in seconds.items():
        yield row(f"step, {label}", value / step.updates * 1e3, "ms")
        if label != "ppocr_jax":
            yield row(f"{label} / ppocr_jax", value / seconds["ppocr_jax"], "x")


def _torch_block(step: Any, batch: Mapping[str, Any], updates: int) -> None:
    """Runs several of PyTorch's steps and waits once, as `Step.block` does."""
    for _ in range(updates):
        total = step.gradients(batch)
        step.optimizer.step()
    float(total)  # waits for the device


def warm(args: argparse.Namespace, *cases: str) -> Rows:
    """Fills the cache of `torch.compile` for cases `network:side:batch size:number format`."""
    for case in cases:
        name, side, size, width = case.split(":")
        config, arrays = steps.load(name), random_batch(int(size), int(side))
        ours = steps.OurStep(config, width)  # only its variables are used
        for _, step, given in steps.torch_sides(config, ours, width, arrays, ["torch.compile"]):
            float(step.gradients(given))
        yield row(case, 1, "filled")


def options(
    args: argparse.Namespace, name: str, side: str, size: str, width: str, *labels: str
) -> Rows:
    """Times a step with XLA options, alternating with the same step without them.

    `labels` are keys of `OPTIONS`; without any, all are measured.
    """
    choices = QUICK_CHOICES if args.quick and jax.default_backend() == "cpu" else OPTIONS
    begin("compiling")
    base = Step(args, name, side, size, width)
    yield from base.compiled()
    for label in labels or tuple(choices):
        begin("compiling")
        try:
            other = Step(args, name, side, size, width, choices[label])
        except jax.errors.JaxRuntimeError as error:  # another release of XLA
            yield row(f"unknown to this XLA, {label}: {str(error)[:80]}", 0, "")
            continue
        yield row(f"compile, {label}", other.ours.compile_seconds, "s")
        begin("timing")
        sides = {"base": base.block, label: other.block}
        take_turns(sides, 1)
        seconds = take_turns(sides, base.rounds)
        yield row(f"step, {label}", seconds[label] / other.updates * 1e3, "ms")
        yield row(f"{label} / without", seconds[label] / seconds["base"], "x")
