"""Clocks, the machine's name, and the networks and batches that are measured."""

import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time

import jax
import numpy as np

Row = tuple[str, str, float, str]  # (case, what, value, unit) of a table of measurements
WIDTHS = {  # of numbers: `dtype` and `precision` of a config; on CPU tf32 is float32
    "float32": ("float32", "float32"),
    "tf32": ("float32", "tf32"),
    "bfloat16": ("bfloat16", "float32"),
}
PACKAGES = ("jax", "jaxlib", "flax", "numpy", "opencv-python-headless", "torch", "onnxruntime")


def take_turns(functions, rounds):
    """`{name: median seconds}` of functions called one after the other, round by round."""
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def per_item(function, items):
    """Milliseconds of this thread's processor that `function` takes for an item: the median."""
    function(items[0])
    times = []
    for item in items:
        started = time.thread_time()
        function(item)
        times.append((time.thread_time() - started) * 1e3)
    return statistics.median(times)


def in_a_process(module, *arguments):
    """What `python -m module arguments` prints, a JSON value per line.

    A case of its own process finds no memory and no compiled program of the cases before it.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            yield json.loads(line)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: ended with {process.returncode}")


def describe_machine():
    """What a number has to be read with: processor, cores, device, versions, commit."""
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


def _processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = [line.split(":", 1) for line in file if ":" in line]
    except OSError:
        return platform.processor()
    facts = {key.strip(): value.strip() for key, value in lines}
    wide = [name for name in ("avx2", "avx512f", "amx_tile") if name in facts.get("flags", "")]
    return f"{facts.get('model name', platform.machine())} ({', '.join(wide)})"


def draw_batch(size, side, seed=0):
    """A training batch of drawn numbers: the time of a step does not hang on its values."""
    rng = np.random.default_rng(seed)
    shape = (size, side, side)
    return {
        "image": rng.integers(0, 256, (*shape, 3), np.uint8),
        "shrink_map": (rng.random(shape) > 0.8).astype(np.uint8),
        "shrink_mask": np.ones(shape, np.uint8),
        "threshold_map": rng.random(shape, np.float32),
        "threshold_mask": (rng.random(shape) > 0.7).astype(np.uint8),
    }
