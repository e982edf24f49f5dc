"""How far a step is from what its device can do, and where its time goes."""

import collections
import glob
import math
import re
import tempfile

import jax
import jax.numpy as jnp
from jax.profiler import ProfileData

from experiments.benchmarks.measure import WIDTHS, take_turns
from ppocr_jax.models import PRECISIONS

COPY_MB, MATRIX_SIDE = 2048, 8192
CPU_COPY_MB, CPU_MATRIX_SIDE = 256, 2048
QUICK_COPY_MB, QUICK_MATRIX_SIDE = 16, 256
PROFILED_STEPS, TOP = 3, 10


def measure_ceilings(width, quick):
    """`(bytes per second of a copy, operations per second of a square matrix product)`."""
    size, side = COPY_MB, MATRIX_SIDE
    if jax.default_backend() == "cpu":
        size, side = CPU_COPY_MB, CPU_MATRIX_SIDE
    if quick:
        size, side = QUICK_COPY_MB, QUICK_MATRIX_SIDE
    block = jnp.zeros(size * 2**18, jnp.float32)
    dtype, precision = WIDTHS[width]
    square = jnp.ones((side, side), dtype)
    copy = jax.jit(lambda x: x + 1)
    multiply = jax.jit(lambda x: jnp.matmul(x, x, precision=PRECISIONS[precision]))
    sides = {
        "copy": lambda: jax.block_until_ready(copy(block)),
        "matrix": lambda: jax.block_until_ready(multiply(square)),
    }
    take_turns(sides, 2)
    seconds = take_turns(sides, 10)
    return 2 * block.nbytes / seconds["copy"], 2 * side**3 / seconds["matrix"]


def step_flops(models, variables, trainable, image):
    """Operations of one update: three times a forward pass, a frozen network's once.

    Convolutions and matrix products alone are counted. On CPU a depthwise convolution is neither.
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


def _flops(jaxpr):
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


def profile(step, program):
    """`[(operation, milliseconds per step)]`, the longest ones, of a profile of some steps.

    Args:
        step: makes one update and waits for it.
        program: the compiled text, which says what of the networks an operation comes from.

    On CPU the profile lacks what XLA gives to its pool of threads: large convolutions and products.
    """
    origin = dict(re.findall(r"%?([\w.-]+) = [^\n]*op_name=\"([^\"]+)\"", program))
    nanoseconds = collections.Counter()
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
        (f"{name} ({origin.get(name, 'of the compiler')})", value / PROFILED_STEPS / 1e6)
        for name, value in nanoseconds.most_common(TOP)
    ]
