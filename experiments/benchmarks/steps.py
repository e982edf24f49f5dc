"""Times the training step of student, CML and DML, and the same step in PyTorch."""

import argparse
import functools
import importlib
import importlib.util
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments.benchmarks.ceilings import measure_ceilings, profile, step_flops
from experiments.benchmarks.measure import WIDTHS, Row, in_a_process, random_batch, take_turns
from ppocr_jax.losses.recipes import make_loss
from ppocr_jax.models.detector import build_detector, init_variables
from ppocr_jax.optim import make_optimizer
from ppocr_jax.runtime import process
from ppocr_jax.runtime.platform import platform
from ppocr_jax.training.packed import pack
from ppocr_jax.training.state import init_roles, make_state
from ppocr_jax.training.step import make_train_step

if TYPE_CHECKING:  # PyTorch may not be installed
    from experiments.benchmarks.torch_side import TorchStep

Case = tuple[str, int, int, str]  # network, side in pixels, images, number format
CONFIGS = {
    "student": "configs.ppocrv3_det_mobile",
    "CML": "configs.ppocrv3_det_cml",
    "DML": "configs.ppocrv3_det_dml",
}
CPU_CASES: tuple[Case, ...] = (
    ("student", 640, 2, "float32"),
    ("student", 640, 1, "float32"),
    ("student", 640, 4, "float32"),
    ("student", 640, 2, "bfloat16"),
    ("student", 960, 1, "float32"),
    ("CML", 320, 1, "float32"),
    ("CML", 640, 1, "float32"),
    ("DML", 256, 1, "float32"),
)
QUICK_CASES: tuple[Case, ...] = (("student", 128, 2, "float32"),)
ROUNDS, QUICK_ROUNDS = 9, 3
TORCH_FORMS: dict[str, dict[str, bool]] = {
    "PyTorch eager": dict(channels_last=False),
    "PyTorch channels-last": dict(channels_last=True),
    "torch.compile": dict(channels_last=True, compiled=True),
}
# Tolerances for (loss, gradient norm) between both implementations. They differ by the order of
# sums, and on a GPU by factors of products that are rounded to 10 bits of mantissa (tf32). A norm
# adds up the errors of all layers, so it gets the larger one.
CPU_RTOL, GPU_RTOL = (1e-4, 2e-2), (1e-2, 1e-1)


class OurStep:
    """Our training step with its state; a call makes one step and returns `total` and `grad_norm`.

    Args:
        config: a whole config.
        width: number format, key of `WIDTHS`.

    Attributes:
        models, variables: by role; `variables` are the initial values, on the host.
        state: `TrainState` after the steps so far.
        compile_seconds, memory, costs, program: of `compile`: its time, the compiler's memory and
            cost analysis, and the text of the compiled step; None before it.
    """

    def __init__(self, config: ConfigDict, width: str) -> None:
        dtype, precision = WIDTHS[width]
        self.models = {
            role: build_detector(network, dtype) for role, network in config.roles.items()
        }
        self.variables = init_roles(self.models, init_variables, config.seed)
        tx = make_optimizer(config.optimizer, lambda step: 1e-4)
        state: Any = make_state(self.variables, tx, config.trainable)
        if platform() == "gpu":  # as `train` does
            state = pack(state, config.trainable)
        self.state = jax.tree.map(jnp.array, state)  # the step donates what it is given
        self.variables = jax.device_get(self.variables)
        step = make_train_step(
            self.models, make_loss(config.loss), tx, config.trainable, precision=precision
        )
        self._step: Any = step
        self.compile_seconds: Any = None
        self.memory: Any = None
        self.costs: Any = None
        self.program: Any = None

    def compile(
        self, batch: Mapping[str, Any], options: Mapping[str, Any] | None = None
    ) -> "OurStep":
        """Compiles the step for batches like this one, with XLA options besides our own."""
        started = time.perf_counter()
        self._step = self._step.lower(self.state, batch).compile(options)
        self.compile_seconds = time.perf_counter() - started
        self.memory, self.costs = self._step.memory_analysis(), self._step.cost_analysis()
        self.program = self._step.as_text()
        return self

    def run(self, batch: Mapping[str, Any], updates: int) -> dict[str, jax.Array]:
        """Makes `updates` steps without waiting in between; returns the metrics of the last one."""
        for _ in range(updates):
            self.state, metrics = self._step(self.state, batch)
        return jax.block_until_ready(metrics)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, float]:
        metrics = self.run(batch, 1)
        return {name: float(metrics[name]) for name in ("total", "grad_norm")}


def load(name: str) -> ConfigDict:
    """Returns the config of "student", "CML" or "DML"."""
    return importlib.import_module(CONFIGS[name]).get_config()


def gpu_cases() -> list[Case]:
    """The published crop size at growing batch sizes, in each number format."""
    sizes = {"student": (8, 32, 64), "CML": (8, 16), "DML": (2, 4, 8)}
    return [(name, 960, size, width) for name in sizes for size in sizes[name] for width in WIDTHS]


def run(args: argparse.Namespace, _: str) -> Iterator[Row]:
    """Measures every case in a process of its own."""
    on_gpu = jax.default_backend() == "gpu"
    for case in QUICK_CASES if args.quick else gpu_cases() if on_gpu else CPU_CASES:
        yield from in_a_process("experiments.benchmarks.steps", *case, *["--quick"] * args.quick)


def measure(name: str, side: int, size: int, dtype: str, quick: bool) -> Iterator[Row]:
    """Measures one case in this process.

    Args:
        name: key of `CONFIGS`.
        side: of the crops, in pixels.
        size: images per batch.
        dtype: number format, key of `WIDTHS`.
        quick: whether few rounds and small ceilings are enough.
    """
    # The limits of the device, and our step.
    config, case = load(name), f"{name} {size} x {side}x{side} {dtype}"
    arrays = random_batch(size, side)
    batch = jax.tree.map(jnp.asarray, arrays)
    bandwidth, rate = measure_ceilings(dtype, quick)
    yield case, "copy bandwidth", bandwidth / 1e9, "GB/s"
    yield case, "matrix rate", rate / 1e12, "TFLOP/s"
    ours = OurStep(config, dtype).compile(batch)
    yield case, "compile", ours.compile_seconds, "s"
    yield case, "temporaries, by the compiler", ours.memory.temp_size_in_bytes / 2**30, "GiB"
    first = _fitting(case, "ppocr_jax", lambda: ours(batch))
    if first is None:
        return
    # PyTorch's step in three forms. Each must give our loss and gradient before it is timed.
    sides: dict[str, Callable[[], Any]] = {"ppocr_jax": lambda: ours(batch)}
    if importlib.util.find_spec("torch"):
        for label, step, given in torch_sides(config, ours, dtype, arrays):
            started = time.perf_counter()

            def first_loss(step=step, given=given):
                return float(step.gradients(given))

            total = _fitting(case, label, first_loss)
            if total is None:
                continue
            yield case, f"first step, {label}", time.perf_counter() - started, "s"
            if dtype != "bfloat16":
                compare(case, label, first, total, step.gradient_norm())
            sides[label] = functools.partial(step, given)
    # Two calls for warm-up, then all in alternation.
    fitting = {}
    for label, function in sides.items():
        if all(_fitting(case, label, function) is not None for _ in range(2)):
            fitting[label] = function
    if "ppocr_jax" not in fitting:
        return
    seconds = take_turns(fitting, QUICK_ROUNDS if quick else ROUNDS)
    ours_s = seconds["ppocr_jax"]
    for label, value in seconds.items():
        yield case, f"step, {label}", value * 1e3, "ms"
        if label != "ppocr_jax":
            yield case, f"{label} / ppocr_jax", value / ours_s, "x"
    # How close our step comes to the limits of the device, and what takes its time.
    yield case, "ppocr_jax", size / ours_s, "images/s"
    flops = step_flops(ours.models, ours.variables, config.trainable, batch["image"])
    traffic = ours.costs.get("bytes accessed", 0)
    yield case, "arithmetic", flops / 1e12, "TFLOP"
    yield case, "share of the matrix rate", 100 * flops / ours_s / rate, "%"
    yield case, "traffic, by the compiler", traffic / 1e9, "GB"
    yield case, "share of the copy bandwidth", 100 * traffic / ours_s / bandwidth, "%"
    for operation, milliseconds in profile(sides["ppocr_jax"], ours.program):
        yield case, operation, milliseconds, "ms"


def _fitting(case: str, label: str, function: Callable[[], Any]) -> Any:
    """Returns the result of `function`, or None with a message if it does not fit into memory."""
    try:
        return function()
    except RuntimeError as error:  # both JAX and PyTorch raise a subclass
        if not re.search("RESOURCE_EXHAUSTED|out of memory", str(error), re.IGNORECASE):
            raise
        print(f"{case}: {label} does not fit into the device's memory", file=sys.stderr)
        return None


def torch_sides(
    config: ConfigDict,
    ours: OurStep,
    width: str,
    arrays: Mapping[str, np.ndarray],
    labels: Iterable[str] = tuple(TORCH_FORMS),
) -> "Iterator[tuple[str, TorchStep, dict[str, Any]]]":
    """Yields `(label, step, batch)` of the same training step in PyTorch.

    Args:
        config: a whole config.
        ours: our step, with the same initial parameters.
        width: number format, key of `WIDTHS`.
        arrays: the batch.
        labels: keys of `TORCH_FORMS`.
    """
    import torch

    from experiments.benchmarks.torch_side import TorchStep

    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    kind = {"float32": torch.float32, "bfloat16": torch.bfloat16}[WIDTHS[width][0]]
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = width == "tf32"
    for label in labels:
        step = TorchStep(
            config, ours.models, ours.variables, device, dtype=kind, **TORCH_FORMS[label]
        )
        yield label, step, step.put(arrays)


def compare(case: str, label: str, ours: Mapping[str, float], total: float, norm: float) -> None:
    """Checks that PyTorch's first loss and gradient norm are ours: both start from the same values.

    Args:
        case, label: for the message.
        ours: our `total` and `grad_norm`.
        total, norm: PyTorch's.

    Raises:
        AssertionError: they differ by more than the tolerances.
    """
    loss_rtol, norm_rtol = CPU_RTOL if jax.default_backend() == "cpu" else GPU_RTOL
    if abs(total - ours["total"]) > loss_rtol * abs(ours["total"]):
        raise AssertionError(f"{case}, {label}: loss {total}, ours {ours['total']}")
    if abs(norm - ours["grad_norm"]) > norm_rtol * ours["grad_norm"]:
        raise AssertionError(f"{case}, {label}: gradient {norm}, ours {ours['grad_norm']}")


if __name__ == "__main__":
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    process.keep_freed_memory()
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("name", choices=CONFIGS)
    arguments.add_argument("side", type=int, help="of the crops, in pixels; a multiple of 32")
    arguments.add_argument("size", type=int, help="images per batch")
    arguments.add_argument("dtype", choices=WIDTHS)
    arguments.add_argument("--quick", action="store_true")
    for row in measure(**vars(arguments.parse_args())):
        print(json.dumps(row), flush=True)
