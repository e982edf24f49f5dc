"""Peak memory of a step, the compiler's figure beside the measured one, and whether it grows."""

import resource

import jax
import jax.numpy as jnp

from experiments.benchmarks.measure import draw_batch
from experiments.benchmarks.steps import OurStep, load

CASES = ((640, 1), (640, 2), (960, 1))


def resident():
    """MiB that the process has in memory now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def run(args, _):
    for side, size in ((128, 1),) if args.quick else CASES:
        batch = jax.tree.map(jnp.asarray, draw_batch(size, side))
        step = OurStep(load("student"), "float32").compile(batch)
        figures = step.memory
        planned = figures.temp_size_in_bytes + figures.argument_size_in_bytes
        case = f"student {size} x {side}x{side}"
        yield case, "step, by the compiler", planned / 2**20, "MiB"
        before = resident()
        for _ in range(3):
            step(batch)
        yield case, "resident after 3 updates", resident(), "MiB"
        yield case, "of that by the updates", resident() - before, "MiB"
    batch = jax.tree.map(jnp.asarray, draw_batch(1, 64))
    step = OurStep(load("student"), "float32").compile(batch)
    count = 50 if args.quick else args.steps
    for _ in range(count // 10):
        step(batch)
    before = resident()
    for _ in range(count - count // 10):
        step(batch)
    yield f"{count} updates", "growth", resident() - before, "MiB"
