"""What a profile says: which kernels and which layers take the time, and how long nothing runs."""

import collections
import pathlib
import re
from typing import NamedTuple

import jax
from jax.profiler import ProfileData

TOP = 25  # of each table
UPDATE = "loss and update"  # what belongs to no layer


class Kernel(NamedTuple):
    """One run of something on the device; times in nanoseconds.

    Attributes:
        name: of the kernel; on CPU of the operation.
        operation: of the compiled program; "" where the profile does not say.
        start, end: on the profile's clock.
    """

    name: str
    operation: str
    start: int
    end: int


def record(function, folder):
    """Runs `function` under the profiler; the profile's files lie below `folder`."""
    with jax.profiler.trace(str(folder)):
        function()
    return sorted(pathlib.Path(folder).rglob("*.xplane.pb"))


def read_kernels(paths):
    """All `Kernel` of profiles, by their start.

    On a GPU that is what ran in its streams, copies included. On CPU it is what the profile knows
    of operations: not what XLA gives to its pool of threads, and loops beside what they hold.
    """
    found = []
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


def _kernel(event):
    start, stats = int(event.start_ns), dict(event.stats)
    operation = str(stats.get("hlo_op", ""))
    if not operation:  # some releases have it in a text with other facts
        texts = (str(value) for value in stats.values() if "hlo_op=" in str(value))
        operation = next((re.search(r"hlo_op=([\w.-]+)", text)[1] for text in texts), "")
    return Kernel(event.name, operation, start, start + int(event.duration_ns))


def busy_ns(kernels):
    """Nanoseconds in which at least one of the kernels ran."""
    total, until = 0, 0
    for kernel in sorted(kernels, key=lambda kernel: kernel.start):
        total += max(0, kernel.end - max(kernel.start, until))
        until = max(until, kernel.end)
    return total


def origins(program):
    """`{operation: what of the networks it comes from}` of a compiled program's text."""
    return dict(re.findall(r"%?([\w.-]+) = [^\n]*op_name=\"([^\"]+)\"", program))


def layer_of(origin):
    """`backbone/stage0_1 backward` of `jit(..)/transpose(jvp(Detector))/../backbone/stage0_1/..`.

    An activation's gradient that the compiler made part of the forward pass counts there.
    """
    found = re.search(r"\b(backbone|neck|head)/([\w.-]+)", origin)
    if not found:
        return UPDATE
    direction = "backward" if "transpose(" in origin else "forward"
    return f"{found[1]}/{found[2]} {direction}"


def kind_of(name):
    """A kernel's name without its number, at most 60 characters."""
    return re.sub(r"([._]\d+)+$", "", name)[:60]


def tables(kernels, program, steps):
    """Rows `(what, value, unit)` on the kernels of `steps` updates.

    Args:
        kernels: of `read_kernels`.
        program: text of the compiled update.
        steps: how many updates were profiled.
    """
    if not kernels:
        raise RuntimeError("the profile holds no kernel: nothing can be said")
    origin = origins(program)
    # A kernel of a command buffer has no operation beside it, but the name of one, with `_`.
    by_name = {re.sub(r"[.-]", "_", name): name for name in origin}
    window = max(kernel.end for kernel in kernels) - kernels[0].start
    busy, whole = busy_ns(kernels), sum(k.end - k.start for k in kernels)
    yield "device busy", 100 * busy / window, "%"
    yield "device idle", 100 * (1 - busy / window), "%"
    yield "step, profiled", window / steps / 1e6, "ms"
    yield "kernels", len(kernels) / steps, "a step"
    times = {"kernel": collections.Counter(), "layer": collections.Counter()}
    counts, known = collections.Counter(), 0
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
