"""Memory and FLOPs of an update as the compiler reports them, and the largest batch that fits."""

import socket
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from ppocr_jax import devices
from ppocr_jax.data.pipeline import Supply
from ppocr_jax.errors import UserError
from ppocr_jax.optim.schedule import first_segment
from ppocr_jax.processes import company
from ppocr_jax.runtime.memory import device_memory, free_memory, resident_memory
from ppocr_jax.timing.compilations import without_alarm
from ppocr_jax.training import start

CPU_SHARE = 0.6  # of the free memory that an update may take
CPU_MOST = 32  # images: on CPU a larger batch makes an image no cheaper
DEVICE_SHARE = 0.9  # of a device's free memory: evaluations and fragmentation need the rest
MAPS = {"threshold_map": "float32", "threshold_mask": "uint8", "shrink_map": "uint8"}


class Footprint(NamedTuple):
    """Memory and FLOPs of a compiled program.

    Attributes:
        memory: bytes on each device: arguments, results that alias no argument, and temporaries.
        flops: over all devices, with a multiply-add counted as two; of the program before XLA's
            fusion, so it is the same on every kind of device.
    """

    memory: int
    flops: float


def measure(function: Any, *arguments: Any) -> Footprint:
    """Compiles a jitted function for arguments (arrays or their shapes) without running it."""
    lowered = function.lower(*arguments)
    with without_alarm():
        facts = lowered.compile().memory_analysis()
    sizes = {
        name: getattr(facts, f"{name}_size_in_bytes", 0)
        for name in ("argument", "output", "alias", "temp")
    }
    memory = sizes["argument"] + sizes["output"] - sizes["alias"] + sizes["temp"]
    return Footprint(memory, _flops(lowered))


def _flops(lowered):
    return float((lowered.cost_analysis() or {}).get("flops", 0))


def measure_update(config: ml_collections.ConfigDict, batch_size: int) -> Footprint:
    """Compiles the update of a config for a batch size: the program that a run would use."""
    found = measure(*_update_of(with_values(config, batch_size=batch_size)))
    if config.accumulate == 1:
        return found
    # XLA counts the body of the loop over micro-batches once, so count them in one batch instead.
    at_once = with_values(config, batch_size=batch_size, accumulate=1)
    function, *arguments = _update_of(at_once)
    return found._replace(flops=_flops(function.lower(*arguments)))


def _update_of(config):
    """The jitted update of a config, and the shapes of its arguments."""
    setup = start.set_up(config)
    return setup.train_step(), setup.pack(start.template(setup)), _batch_template(setup)


def with_values(config: ml_collections.ConfigDict, **values: Any) -> ml_collections.ConfigDict:
    """Copies a config with other values for top-level keys."""
    config = config.copy_and_resolve_references()
    config.update(values)
    return config.lock()


def _batch_template(setup):
    """Shapes, dtypes and shardings of the batch that `loop.train` passes to an update."""
    config, sharding = setup.config, devices.split(setup.mesh)
    shape = (config.batch_size, config.crop, config.crop)
    image = jax.ShapeDtypeStruct((*shape, 3), np.uint8, sharding=sharding)
    types = {**MAPS, "shrink_mask": "uint8"}
    maps = {name: jax.ShapeDtypeStruct(shape, t, sharding=sharding) for name, t in types.items()}
    whole = devices.replicated(setup.mesh)
    plan = {
        name: jax.ShapeDtypeStruct(number.shape, number.dtype, sharding=whole)
        for name, number in first_segment(config, 1, 1).numbers().items()
    }
    return {"image": image, **maps, "plan": plan}


class Budget(NamedTuple):
    """Memory that an update may take.

    Attributes:
        memory: bytes per device; None if unknown.
        words: describes this share, for messages.
        most: largest batch, images; None for no limit.
        resident: bytes that this process held already. Only for host memory, which compiled
            programs and batches share; None for a device with memory of its own.
    """

    memory: int | None
    words: str
    most: int | None = None
    resident: int | None = None


def find_budget(mesh: Mesh) -> Budget:
    """The memory that an update may take on the devices of this process."""
    there = device_memory(mesh.local_devices[0])
    if there is not None:
        return Budget(int(DEVICE_SHARE * there), f"{DEVICE_SHARE:.0%} of the device's free memory")
    free = free_memory()
    # CPU devices of one machine share its memory, and so do processes on it.
    sharers = mesh.local_mesh.size * processes_here()
    share = None if free is None else int(CPU_SHARE * free / sharers)
    return Budget(share, f"{CPU_SHARE:.0%} of the free memory", CPU_MOST, resident_memory())


def taken_beside(config: ml_collections.ConfigDict, budget: Budget, mesh: Mesh) -> int:
    """Bytes per device that a run needs besides its updates: programs and waiting batches.

    Call it after two of the three compilations of `find_largest`: each one leaves about the same
    amount of memory behind, hence the factor 1.5. Programs from the cache leave little. All
    processes get the same number, the largest.
    """
    if budget.resident is None:
        return 0
    programs = 1.5 * max(0, resident_memory() - budget.resident)
    own = int(programs + (Supply.of(config).prefetch_mb << 20)) // mesh.local_mesh.size
    return max(map(int, company.exchange("beside", str(own))))


def processes_here() -> int:
    """The number of processes of the run on this machine, including this one."""
    names = company.exchange("machines", socket.gethostname())
    return names.count(socket.gethostname())


def find_largest(
    update_of: Callable[[int], Footprint],
    budget: Budget,
    unit: int,
    most: int,
    say: Callable[[str], object],
    agree: Callable[[int], int] = lambda size: size,
    beside: Callable[[], int] = lambda: 0,
) -> tuple[int, Footprint]:
    """Finds the largest batch whose update fits, with at most three compilations.

    Memory grows linearly with the batch. Two small batches give the line, and the batch it predicts
    is compiled to check. If that needs more than predicted, the line through it and the larger of
    the small ones gives a smaller batch.

    Args:
        update_of: `batch -> Footprint`.
        budget: with known memory.
        unit: the batch must be a multiple of this.
        most: largest batch to consider, at least `unit`.
        say: takes lines on the progress.
        agree: maps a batch to the one that all processes use, so that all compile the same.
        beside: bytes of the budget needed elsewhere; called after the small batches are compiled.

    Returns:
        `(batch, Footprint)`; the footprint is an estimate if that batch was not compiled.

    Raises:
        UserError: not even a batch of `unit` fits.
    """
    if budget.memory is None:
        raise ValueError("the memory of the budget is unknown")

    # Two small batches give the line.
    most = most // unit * unit
    small = sorted({min(size, most) for size in ((unit, 2 * unit) if unit > 1 else (2, 4))})
    say(f"largest batch: compiling updates of {' and '.join(map(str, small))} images")
    known = {size: update_of(size) for size in small}

    # What the line predicts for the memory that is left.
    taken = beside()
    memory, whole = budget.memory - taken, f"{budget.words} is {in_words(budget.memory)}"
    if taken:
        whole += f", of which programs and waiting batches take {in_words(taken)}"
    guess = agree(_along(known, memory, unit, most))
    told = ", ".join(f"{size} need {in_words(known[size].memory)}" for size in known)
    say(f"{told}; {whole}: enough for about {guess}")

    # Compile the prediction; if it needs more memory than predicted, correct the line once.
    if guess not in known and guess >= unit:
        say(f"compiling an update of {guess} images to check")
        known[guess] = update_of(guess)
        if known[guess].memory > memory:
            fitting = [size for size in known if known[size].memory <= memory]
            guess = max([_along(known, memory, unit, guess - unit), *fitting])
    if guess < unit:
        least = min(known)
        raise UserError(
            f"config.batch_size=0: an update of {least} images needs "
            f"{in_words(known[least].memory)} and {whole}: use a smaller config.crop, or "
            "config.remat=True"
        )
    return guess, known.get(guess) or _estimate(known, guess)


def _along(known, memory, unit, most):
    """The largest multiple of `unit` that fits, by the line through the two largest batches."""
    if len(known) == 1:
        [(size, footprint)] = known.items()
        return size if footprint.memory <= memory else 0
    values = {size: footprint.memory for size, footprint in known.items()}
    slope, base = _line(values)
    if slope <= 0:  # memory does not grow with the batch
        fits = most if values[max(values)] <= memory else 0
    else:
        fits = int((memory - base) / slope)
    return max(0, min(fits, most) // unit * unit)


def _line(values):
    """`(slope, intercept)` of the line through the two largest sizes of `{size: value}`."""
    low, high = sorted(values)[-2:]
    slope = (values[high] - values[low]) / (high - low)
    return slope, values[low] - slope * low


def _estimate(known, size):
    parts = (_line({at: getattr(f, name) for at, f in known.items()}) for name in Footprint._fields)
    memory, flops = (slope * size + base for slope, base in parts)
    return Footprint(int(memory), flops)


def choose_batch(
    config: ml_collections.ConfigDict, images: int | None, say: Callable[[str], object]
) -> int:
    """The batch size for `batch_size=0`; of several processes the first one decides.

    All processes compile, because compilers on several hosts may wait for each other.

    Args:
        config: a whole config.
        images: number of images in an epoch, an upper limit; None if unknown.
        say: takes lines on the progress.

    Raises:
        UserError: nothing fits, or the free memory of this machine is unknown.
    """
    # The limits: divisible by devices and micro-batches, the least memory of any process, no more
    # than an epoch.
    mesh = devices.make_mesh(config)
    unit, budget = mesh.size * config.accumulate, find_budget(mesh)
    known = [said for said in company.exchange("memory", str(budget.memory)) if said != "None"]
    if not known:
        raise UserError(
            "config.batch_size=0: the free memory of this machine is unknown: give a number"
        )
    memory = min(map(int, known))  # of the process that has least: all run the same program
    budget = budget._replace(memory=memory)
    limits = [limit for limit in (budget.most, images) if limit is not None]
    most = max(unit, min(limits, default=2**16))

    def agree(size):
        return int(company.exchange("batch", str(size))[0])

    batch, footprint = find_largest(
        lambda size: measure_update(config, size),
        budget,
        unit,
        most,
        say,
        agree,
        lambda: taken_beside(config, budget, mesh),
    )
    batch = agree(batch)
    say(
        f"config.batch_size=0: using {batch}; an update of it needs {in_words(footprint.memory)} "
        f"of {in_words(memory)} by the compiler's figure; the limit is {most}"
    )
    return batch


def in_words(size: int) -> str:
    """Formats bytes as `512 MiB` or `1.5 GiB`."""
    return f"{size / 2**20:.0f} MiB" if size < 2**30 else f"{size / 2**30:.1f} GiB"
