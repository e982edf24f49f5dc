"""Compiles the training step for an H100, without one, and counts kernels, traffic and memory."""

import argparse
import collections
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmarks import program_target
from experiments.benchmarks.measure import WIDTHS, Row, in_a_process
from experiments.benchmarks.program_count import Kernel, read_kernels
from experiments.benchmarks.program_floor import least_bytes
from experiments.benchmarks.steps import CONFIGS, Case, load
from ppocr_jax.models.detector import build_detector

# tf32 moves the bytes of float32.
DTYPES = tuple(dict.fromkeys(dtype for dtype, _ in WIDTHS.values()))
CASES: tuple[Case, ...] = tuple(
    (name, 960, size, width)
    for name, size in (("student", 8), ("CML", 2), ("DML", 2))
    for width in DTYPES
)
QUICK_CASES: tuple[Case, ...] = (("student", 64, 2, "bfloat16"),)
INSTALL = "pip install 'jax[cuda13]', which needs no GPU"
MOST = 12  # rows per case for kinds of kernels, and for places in the network
PART = re.compile(r"(backbone|neck|head)(/\w+)?")


def run(args: argparse.Namespace, _: str) -> Iterator[Row]:
    """Compiles every case in a process of its own; skips all without JAX's CUDA plugin."""
    if not program_target.is_there():
        print(f"the part program needs the CUDA plugin: {INSTALL}; skipped", file=sys.stderr)
        return
    for case in QUICK_CASES if args.quick else CASES:
        yield from in_a_process("experiments.benchmarks.program", *case)


def measure(name: str, side: int, size: int, dtype: str) -> Iterator[Row]:
    """Compiles one case in this process and counts.

    Args:
        name: key of `CONFIGS`.
        side: of the crops, in pixels.
        size: images per batch.
        dtype: number format of maps and products, one of `DTYPES`.
    """
    config, case = load(name), f"{name} {size} x {side}x{side} {dtype}"
    models = {role: build_detector(network, dtype) for role, network in config.roles.items()}
    started = time.perf_counter()
    compiled: Any = program_target.compile_step(config, models, (size, side))
    yield case, "compilation without autotuning, here", time.perf_counter() - started, "s"
    yield case, "temporaries", compiled.memory_analysis().temp_size_in_bytes / 2**30, "GiB"
    width = jnp.dtype(dtype).itemsize  # bytes per value of a map
    least = least_bytes(models, config.trainable, (size, side, side, 3), width)
    yield from describe(case, compiled.as_text(), size, least)


def describe(case: str, text: str, images: int, least: Mapping[str, float]) -> Iterator[Row]:
    """Counts the kernels and the traffic of a compiled program.

    Args:
        case: name of the case, for the rows.
        text: of the program.
        images: in its batch.
        least: lower bound of the traffic in bytes, by kind; see `program_floor`.
    """
    # Totals, and their lower bounds.
    kernels = read_kernels(text)
    total = sum(kernel.moved * kernel.times for kernel in kernels)
    yield case, "kernels", sum(kernel.times for kernel in kernels), ""
    yield case, "traffic", total / images / 1e9, "GB/image"
    for kind, value in least.items():
        yield case, f"lower bound, {kind}", value / images / 1e9, "GB/image"
    library = {kernel.library for kernel in kernels if kernel.library}
    yield case, "distinct library convolutions", len(library), ""
    # The kinds of kernels, and the places in the network, with the most traffic.
    groups: tuple[tuple[str, Callable[[Kernel], str]], ...] = (
        ("", lambda kernel: kernel.kind),
        ("in ", lambda kernel: place(kernel.origin)),
    )
    for what, name_of in groups:
        moved: collections.Counter[str] = collections.Counter()
        launched: collections.Counter[str] = collections.Counter()
        for kernel in kernels:
            moved[name_of(kernel)] += kernel.moved * kernel.times
            launched[name_of(kernel)] += kernel.times
        for key, value in moved.most_common(MOST):
            label = f"{what}{key}, {launched[key]} kernels"
            yield case, label, value / images / 1e9, "GB/image"


def place(origin: str) -> str:
    """Returns the part of the training step that a kernel belongs to.

    That is a block of a network with its direction, "losses", "update" (the optimiser) or "added by
    the compiler".

    Args:
        origin: the compiler's `op_name`, such as `jit(train_step)/transpose(jvp(Detector))/…`.
    """
    found = PART.search(origin)
    if found:
        # JAX traces the forward pass under `jvp` and the backward pass under its transpose.
        direction = "backward" if "transpose(" in origin else "forward"
        return f"{found.group()} {direction}"
    return "losses" if "jvp(" in origin else "update" if origin else "added by the compiler"


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")  # before JAX reads its plugins: see `describe_h100`
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("name", choices=CONFIGS)
    arguments.add_argument("side", type=int, help="of the crops, in pixels; a multiple of 32")
    arguments.add_argument("size", type=int, help="images per batch")
    arguments.add_argument("dtype", choices=DTYPES)
    for row in measure(**vars(arguments.parse_args())):
        print(json.dumps(row), flush=True)
