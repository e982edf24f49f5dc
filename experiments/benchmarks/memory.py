"""Peak memory of a step, by the compiler and as measured, and whether it grows over many steps.

Every case has a process of its own, because a process keeps the memory that it has freed.
"""

import argparse
import json
import resource
import sys
from collections.abc import Iterator

from experiments.benchmarks.measure import Row, in_a_process

CASES = ((640, 1), (640, 2), (960, 1))  # (side in pixels, images)


def run(args: argparse.Namespace, _: str) -> Iterator[Row]:
    """Peak memory of the student's step at some sizes, and its growth over `args.steps` steps."""
    for side, size in ((128, 1),) if args.quick else CASES:
        found = _measure_alone(side, size, 3)
        case = f"student {size} x {side}x{side}"
        yield case, "memory of a step, by the compiler", found["planned"], "MiB"
        yield case, "peak memory, measured", found["peak"], "MiB"
        yield (
            case,
            "peak memory, beyond that after compilation",
            found["peak"] - found["compiled"],
            "MiB",
        )
    count = 50 if args.quick else args.steps
    found = _measure_alone(64, 1, count)
    yield f"{count} steps", "growth after the first tenth", found["growth"], "MiB"


def _measure_alone(side: int, size: int, updates: int) -> dict[str, float]:
    (found,) = in_a_process("experiments.benchmarks.memory", side, size, updates)
    return found


def resident() -> float:
    """Returns the memory that the process occupies now, in MiB."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def peak() -> float:
    """Returns the most memory that the process has ever occupied, in MiB.

    Not by `getrusage`: its figure starts from the parent's memory at the time of the fork.
    """
    with open("/proc/self/status", encoding="ascii") as file:
        (line,) = (line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) / 2**10


def measure(side: int, size: int, updates: int) -> dict[str, float]:
    """Runs steps in this process and returns its memory in MiB.

    Args:
        side: of the crops, in pixels.
        size: images per batch.
        updates: training steps.

    Returns:
        `planned` by the compiler, `compiled` after compilation, `peak`, and `growth` after the
        first tenth of the steps.
    """
    import jax
    import jax.numpy as jnp

    from experiments.benchmarks.measure import random_batch
    from experiments.benchmarks.steps import OurStep, load
    from ppocr_jax.runtime import process

    process.prepare()
    batch = jax.tree.map(jnp.asarray, random_batch(size, side))
    step = OurStep(load("student"), "float32").compile(batch)
    compiled = resident()
    # Caches and buffers grow to their final size first; what grows afterwards is a leak.
    for _ in range(max(1, updates // 10)):
        step(batch)
    before = resident()
    for _ in range(updates - updates // 10):
        step(batch)
    figures = step.memory
    planned = figures.temp_size_in_bytes + figures.argument_size_in_bytes
    return dict(planned=planned / 2**20, compiled=compiled, peak=peak(), growth=resident() - before)


if __name__ == "__main__":
    print(json.dumps(measure(*map(int, sys.argv[1:]))))
