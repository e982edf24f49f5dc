"""How close a step comes to the limits of its device, and which operations take its time."""

import collections
import glob
import math
import re
import tempfile
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.profiler import ProfileData

from experiments.benchmarks.measure import WIDTHS, take_turns
from ppocr_jax.models import PRECISIONS

# Sizes far beyond the caches, and matrices large enough that the arithmetic dominates.
COPY_MB, MATRIX_SIDE = 2048, 8192
CPU_COPY_MB, CPU_MATRIX_SIDE = 256, 2048
QUICK_COPY_MB, QUICK_MATRIX_SIDE = 16, 256
PROFILED_STEPS, TOP = 3, 10


def measure_ceilings(width: str, quick: bool) -> tuple[float, float]:
    """Measures the copy bandwidth and the matrix rate of the device.

    Args:
        width: number format of the matrix product, key of `WIDTHS`.
        quick: whether small sizes are enough.

    Returns:
        `(bytes read and written per second, operations per second of a square matrix product)`.
    """
    size, side = COPY_MB, MATRIX_SIDE
    if jax.default_backend() == "cpu":
        size, side = CPU_COPY_MB, CPU_MATRIX_SIDE
    if quick:
        size, side = QUICK_COPY_MB, QUICK_MATRIX_SIDE
    block = jnp.zeros(size * 2**18, jnp.float32)  # 2**18 float32 are one MiB
    dtype, precision = WIDTHS[width]
    square = jnp.ones((side, side), dtype)
    copy = jax.jit(lambda x: x + 1)  # XLA would drop a plain copy
    multiply = jax.jit(lambda x: jnp.matmul(x, x, precision=PRECISIONS[precision]))
    sides = {
        "copy": lambda: jax.block_until_ready(copy(block)),
        "matrix": lambda: jax.block_until_ready(multiply(square)),
    }
    take_turns(sides, 2)  # compiles
    seconds = take_turns(sides, 10)
    return 2 * block.nbytes / seconds["copy"], 2 * side**3 / seconds["matrix"]


def step_flops(
    models: Mapping[str, Any],
    variables: Mapping[str, Any],
    trainable: Collection[str],
    image: jax.Array,
) -> int:
    """Counts the floating point operations of one training step.

    That is three times a forward pass (the backward pass makes two products for each one), and once
    for a frozen network. Only convolutions and matrix products count; on a CPU a depthwise
    convolution is computed as neither.

    Args:
        models, variables: by role.
        trainable: roles that learn.
        image: uint8 `[B, H, W, 3]`.
    """
    total = 0
    for role, model in models.items():
        learns = role in trainable

        def forward(variables, image, model=model, learns=learns):
            return model.apply(
                variables, image, train=True, all_maps=learns, mutable=["batch_stats"]
            )

        traced = jax.make_jaxpr(forward)(variables[role], image)
        total += _flops(traced.jaxpr) * (3 if learns else 1)
    return total


def _flops(jaxpr: Any) -> int:
    total = 0
    for equation in jaxpr.eqns:
        out = equation.outvars[0].aval
        match equation.primitive.name:
            case "conv_general_dilated":  # kernel [kh, kw, in / groups, out]
                total += 2 * out.size * math.prod(equation.invars[1].aval.shape[:-1])
            case "dot_general":
                axes = equation.params["dimension_numbers"][0][0]
                shape = equation.invars[0].aval.shape
                total += 2 * out.size * math.prod(shape[axis] for axis in axes)
            case _:
                inner = (getattr(value, "jaxpr", value) for value in equation.params.values())
                total += sum(_flops(value) for value in inner if hasattr(value, "eqns"))
    return total


def profile(step: Callable[[], Any], program: str) -> list[tuple[str, float]]:
    """Profiles some steps and returns the longest operations: `[(operation, milliseconds per
    step)]`.

    On a CPU the profile lacks what XLA runs in its thread pool: large convolutions and products.

    Args:
        step: runs one training step and waits for it.
        program: text of the compiled step; it names the part of the network that an operation comes
            from.
    """
    origin = dict(re.findall(r"%?([\w.-]+) = [^\n]*op_name=\"([^\"]+)\"", program))
    nanoseconds: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(PROFILED_STEPS):
                step()
        for path in glob.glob(f"{folder}/**/*.xplane.pb", recursive=True):
            for plane in ProfileData.from_file(path).planes:
                for event in (event for line in plane.lines for event in line.events):
                    name = dict(event.stats).get("hlo_op")
                    if name:
                        nanoseconds[name] += event.duration_ns
    return [
        (f"{name} ({origin.get(name, 'added by the compiler')})", value / PROFILED_STEPS / 1e6)
        for name, value in nanoseconds.most_common(TOP)
    ]
