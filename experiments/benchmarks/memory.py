"""Peak memory of a step, the compiler's figure beside the measured one, and whether it grows.

Every case has a process of its own: freed memory stays with a process.
"""

import json
import resource
import sys

from experiments.benchmarks.measure import in_a_process

CASES = ((640, 1), (640, 2), (960, 1))


def run(args, _):
    for side, size in ((128, 1),) if args.quick else CASES:
        found = _measure_alone(side, size, 3)
        case = f"student {size} x {side}x{side}"
        yield case, "step, by the compiler", found["planned"], "MiB"
        yield case, "most in memory, measured", found["peak"], "MiB"
        yield case, "of that after compilation", found["peak"] - found["compiled"], "MiB"
    count = 50 if args.quick else args.steps
    found = _measure_alone(64, 1, count)
    yield f"{count} updates", "growth after the first tenth", found["growth"], "MiB"


def _measure_alone(side, size, updates):
    (found,) = in_a_process("experiments.benchmarks.memory", side, size, updates)
    return found


def resident():
    """MiB that the process has in memory now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def peak():
    """The most MiB that the process ever had in memory.

    `getrusage` would count what its parent had when it was started.
    """
    with open("/proc/self/status", encoding="ascii") as file:
        (line,) = (line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) / 2**10


def measure(side, size, updates):
    """What one process finds, MiB."""
    import jax
    import jax.numpy as jnp

    from experiments.benchmarks.measure import draw_batch
    from experiments.benchmarks.steps import OurStep, load
    from ppocr_jax.runtime import process

    process.prepare()
    batch = jax.tree.map(jnp.asarray, draw_batch(size, side))
    step = OurStep(load("student"), "float32").compile(batch)
    compiled = resident()
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
