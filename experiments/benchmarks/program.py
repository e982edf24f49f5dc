"""What the update's program does on an H100, seen without one: kernels, bytes, temporaries."""

import argparse
import collections
import json
import re
import sys
import time

import jax
import jax.numpy as jnp

from experiments.benchmarks import program_target
from experiments.benchmarks.measure import in_a_process
from experiments.benchmarks.program_count import read_kernels
from experiments.benchmarks.program_floor import least_bytes
from experiments.benchmarks.steps import CONFIGS, WIDTHS, load
from ppocr_jax.models.detector import build_detector

CASES = tuple(
    (name, 960, size, width)
    for name, size in (("student", 8), ("CML", 2), ("DML", 2))
    for width in WIDTHS
)
QUICK_CASES = (("student", 64, 2, "bfloat16"),)
INSTALL = "pip install 'jax[cuda13]', which needs no GPU"
MOST = 12  # lines of a case for kinds of kernels, and for origins
PART = re.compile(r"(backbone|neck|head)(/\w+)?")


def run(args, _):
    if not program_target.is_there():
        print(f"program needs the CUDA plugin: {INSTALL}: left out", file=sys.stderr)
        return
    for case in QUICK_CASES if args.quick else CASES:
        yield from in_a_process("experiments.benchmarks.program", *case)


def measure(name, side, size, dtype):
    """The rows of one case."""
    config, case = load(name), f"{name} {size} x {side}x{side} {dtype}"
    models = {role: build_detector(network, dtype) for role, network in config.roles.items()}
    started = time.perf_counter()
    compiled = program_target.compile_step(config, models, (size, side))
    yield case, "compilation without autotuning, here", time.perf_counter() - started, "s"
    yield case, "temporaries", compiled.memory_analysis().temp_size_in_bytes / 2**30, "GiB"
    width = jnp.dtype(dtype).itemsize
    least = least_bytes(models, config.trainable, (size, side, side, 3), width)
    yield from describe(case, compiled.as_text(), size, least)


def describe(case, text, images, least):
    """Rows of a program's text; `least` bytes by kind, see `program_floor`."""
    kernels = read_kernels(text)
    total = sum(kernel.moved * kernel.times for kernel in kernels)
    yield case, "kernels", sum(kernel.times for kernel in kernels), ""
    yield case, "moved", total / images / 1e9, "GB/image"
    for kind, value in least.items():
        yield case, f"least, {kind}", value / images / 1e9, "GB/image"
    library = {kernel.library for kernel in kernels if kernel.library}
    yield case, "distinct library convolutions", len(library), ""
    for what, name_of in (("", lambda kernel: kernel.kind), ("in ", lambda k: place(k.origin))):
        moved, launched = collections.Counter(), collections.Counter()
        for kernel in kernels:
            moved[name_of(kernel)] += kernel.moved * kernel.times
            launched[name_of(kernel)] += kernel.times
        for key, value in moved.most_common(MOST):
            label = f"{what}{key}, {launched[key]} kernels"
            yield case, label, value / images / 1e9, "GB/image"


def place(origin):
    """Where in the update a kernel comes from: a block of a network, or what is around them.

    Args:
        origin: as the compiler keeps it, `jit(train_step)/transpose(jvp(Detector))/…`.
    """
    found = PART.search(origin)
    if found:
        way = "backward" if "transpose(" in origin else "forward"
        return f"{found.group()} {way}"
    return "losses" if "jvp(" in origin else "update" if origin else "of the compiler"


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("name", choices=CONFIGS)
    arguments.add_argument("side", type=int, help="pixels, a multiple of 32")
    arguments.add_argument("size", type=int, help="images")
    arguments.add_argument("dtype", choices=WIDTHS)
    for row in measure(**vars(arguments.parse_args())):
        print(json.dumps(row), flush=True)
