"""Timing, a description of the machine, and random batches to measure with."""

import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

Row = tuple[str, str, float, str]  # (case, what, value, unit) of a table of measurements
WIDTHS = {  # number format -> `dtype` and `precision` of a config; on a CPU tf32 is float32
    "float32": ("float32", "float32"),
    "tf32": ("float32", "tf32"),
    "bfloat16": ("bfloat16", "float32"),
}
PACKAGES = ("jax", "jaxlib", "flax", "numpy", "opencv-python-headless", "torch", "onnxruntime")


def take_turns(functions: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Times functions in alternation: each is called once per round.

    Other work on the machine then slows all of them alike, which leaves their ratios meaningful.

    Args:
        functions: by name; each has to wait for its own result.
        rounds: how many.

    Returns:
        `{name: median seconds}`.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def per_item(function: Callable[[Any], Any], items: Sequence[Any]) -> float:
    """Returns the median CPU time of `function(item)` in this thread, in milliseconds."""
    function(items[0])  # warm-up
    times = []
    for item in items:
        started = time.thread_time()
        function(item)
        times.append((time.thread_time() - started) * 1e3)
    return statistics.median(times)


def in_a_process(module: str, *arguments: object) -> Iterator[Any]:
    """Runs `python -m <module> <arguments>` and yields the JSON values that it prints, one per
    line.

    A case in its own process is not affected by the memory and compiled programs of earlier cases.

    Raises:
        RuntimeError: the process failed.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            yield json.loads(line)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: exited with {process.returncode}")


def describe_machine() -> dict[str, Any]:
    """Describes the conditions of a measurement: processor, cores, device, versions, commit."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "device": jax.devices()[0].device_kind,
        "python": platform.python_version(),
        **versions,
        "commit": git.stdout.strip() or "unknown",
    }


def _processor() -> str:
    """Name of the processor, with its widest vector and matrix instructions."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = [line.split(":", 1) for line in file if ":" in line]
    except OSError:
        return platform.processor()
    facts = {key.strip(): value.strip() for key, value in lines}
    wide = [name for name in ("avx2", "avx512f", "amx_tile") if name in facts.get("flags", "")]
    return f"{facts.get('model name', platform.machine())} ({', '.join(wide)})"


def random_batch(size: int, side: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Makes a training batch of random numbers; the time of a step does not depend on its values.

    Args:
        size: number of images.
        side: height and width in pixels.
        seed: of the random numbers.

    Returns:
        `image` uint8 `[B, H, W, 3]`; `shrink_map`, `shrink_mask`, `threshold_mask` uint8 in {0, 1}
        and `threshold_map` float32 in [0, 1), each `[B, H, W]`.
    """
    rng = np.random.default_rng(seed)
    shape = (size, side, side)
    return {
        "image": rng.integers(0, 256, (*shape, 3), np.uint8),
        # About as much text as in real crops: losses with an empty mask would skip work.
        "shrink_map": (rng.random(shape) > 0.8).astype(np.uint8),
        "shrink_mask": np.ones(shape, np.uint8),
        "threshold_map": rng.random(shape, np.float32),
        "threshold_mask": (rng.random(shape) > 0.7).astype(np.uint8),
    }
