"""Reads a profile: the time by kernel and by layer, and the idle time of the device."""

import collections
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
from jax.profiler import ProfileData

TOP = 25  # of each table
UPDATE = "loss and update"  # operations outside the networks' layers


class Kernel(NamedTuple):
    """One execution of a kernel.

    Attributes:
        name: of the kernel; on a CPU of the operation.
        operation: of the compiled program; "" if the profile does not name it.
        start, end: in nanoseconds, on the profile's clock.
    """

    name: str
    operation: str
    start: int
    end: int


def record(function: Callable[[], Any], folder: str | os.PathLike[str]) -> list[pathlib.Path]:
    """Runs `function` under the profiler and returns the profile's files, in `folder`."""
    with jax.profiler.trace(str(folder)):
        function()
    return sorted(pathlib.Path(folder).rglob("*.xplane.pb"))


def read_kernels(paths: Iterable[str | os.PathLike[str]]) -> list[Kernel]:
    """Returns the kernels of profiles in order of their start.

    On a GPU these are all that ran in its streams, copies included. On a CPU these are the
    operations in the profile: it lacks what XLA runs in its thread pool, and counts loops besides
    their contents.
    """
    found: list[Kernel] = []
    for path in paths:
        planes = list(ProfileData.from_file(str(path)).planes)
        devices = [plane for plane in planes if plane.name.startswith("/device:")]
        streams = [line for p in devices for line in p.lines if line.name.startswith("Stream")]
        if streams:
            found += [_kernel(e) for line in streams for e in line.events]
        else:
            events = (e for plane in planes for line in plane.lines for e in line.events)
            found += [kernel for kernel in map(_kernel, events) if kernel.operation]
    return sorted(found, key=lambda kernel: kernel.start)


def _kernel(event: Any) -> Kernel:
    start, stats = int(event.start_ns), dict(event.stats)
    operation = str(stats.get("hlo_op", ""))
    if not operation:  # some releases put it into a text with other facts
        texts = (str(value) for value in stats.values() if "hlo_op=" in str(value))
        found = (re.search(r"hlo_op=([\w.-]+)", text) for text in texts)
        operation = next((match[1] for match in found if match), "")
    return Kernel(event.name, operation, start, start + int(event.duration_ns))


def busy_ns(kernels: Iterable[Kernel]) -> int:
    """Returns the time in which at least one kernel ran, in nanoseconds."""
    total, until = 0, 0
    for kernel in sorted(kernels, key=lambda kernel: kernel.start):
        # Streams overlap: only the part after the end of all earlier kernels is new.
        total += max(0, kernel.end - max(kernel.start, until))
        until = max(until, kernel.end)
    return total


def origins(program: str) -> dict[str, str]:
    """Returns `{operation: op_name}` of a compiled program's text.

    The `op_name` tells where in the networks an operation comes from.
    """
    return dict(re.findall(r"%?([\w.-]+) = [^\n]*op_name=\"([^\"]+)\"", program))


def layer_of(origin: str) -> str:
    """Returns the layer of an `op_name`, such as "backbone/stage0_1 backward".

    An activation's gradient that the compiler moved into the forward pass counts as forward.

    Args:
        origin: such as `jit(..)/transpose(jvp(Detector))/../backbone/stage0_1/..`.
    """
    found = re.search(r"\b(backbone|neck|head)/([\w.-]+)", origin)
    if not found:
        return UPDATE
    direction = "backward" if "transpose(" in origin else "forward"
    return f"{found[1]}/{found[2]} {direction}"


def kind_of(name: str) -> str:
    """Returns a kernel's name without its number, at most 60 characters."""
    return re.sub(r"([._]\d+)+$", "", name)[:60]


def tables(kernels: Sequence[Kernel], program: str, steps: int) -> Iterator[tuple[str, float, str]]:
    """Yields rows `(what, value, unit)`: busy and idle time, then time by kernel and by layer.

    Args:
        kernels: from `read_kernels`.
        program: text of the compiled training step.
        steps: how many steps were profiled.

    Raises:
        RuntimeError: there are no kernels.
    """
    if not kernels:
        raise RuntimeError("the profile contains no kernels")
    origin = origins(program)
    # A kernel in a command buffer has no operation, but its name is that of one, with `_`.
    by_name = {re.sub(r"[.-]", "_", name): name for name in origin}
    window = max(kernel.end for kernel in kernels) - kernels[0].start
    busy, whole = busy_ns(kernels), sum(k.end - k.start for k in kernels)
    yield "device busy", 100 * busy / window, "%"
    yield "device idle", 100 * (1 - busy / window), "%"
    yield "step, profiled", window / steps / 1e6, "ms"
    yield "kernels", len(kernels) / steps, "a step"
    times: dict[str, collections.Counter[str]] = {
        "kernel": collections.Counter(),
        "layer": collections.Counter(),
    }
    counts: collections.Counter[str] = collections.Counter()
    known = 0
    for kernel in kernels:
        length = kernel.end - kernel.start
        named = by_name.get(re.sub(r"[.-]", "_", kernel.name), "")
        operation = kernel.operation if kernel.operation in origin else named
        known += length * (operation in origin)
        times["kernel"][kind_of(kernel.name)] += length
        counts[kind_of(kernel.name)] += 1
        layer = layer_of(origin[operation]) if operation in origin else "origin unknown"
        times["layer"][layer] += length
    yield "time whose origin is known", 100 * known / whole, "%"
    for table, counted in times.items():
        for name, length in counted.most_common(TOP):
            often = f" x {counts[name] / steps:.0f}" if table == "kernel" else ""
            yield f"{table} {name}{often}", length / steps / 1e6, "ms a step"
