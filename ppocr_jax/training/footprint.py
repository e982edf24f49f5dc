"""What one update takes by the compiler's figures, and the largest batch whose update fits."""

import socket
from typing import NamedTuple

import jax
import numpy as np

from ppocr_jax import devices
from ppocr_jax.data.pipeline import Supply
from ppocr_jax.errors import UserError
from ppocr_jax.optim.schedule import first_segment
from ppocr_jax.processes import company
from ppocr_jax.runtime.memory import device_memory, free_memory, resident_memory
from ppocr_jax.timing.compilations import without_alarm
from ppocr_jax.training import start

CPU_SHARE, CPU_MOST = 0.6, 32  # of the free memory; images: more make no update there cheaper
DEVICE_SHARE = 0.9  # of a device's free memory: the rest is for evaluations, and for its gaps
MAPS = {"threshold_map": "float32", "threshold_mask": "uint8", "shrink_map": "uint8"}


class Footprint(NamedTuple):
    """Figures of a compiled program.

    Attributes:
        memory: bytes on each device: arguments, results that take no argument's place, and what
            is held in between.
        flops: of all devices, a multiplication and an addition counting as two; of the program
            before XLA fuses it, so the same on every kind of device.
    """

    memory: int
    flops: float


def measure(function, *arguments) -> Footprint:
    """Compiles a jitted function for arguments, arrays or their shapes; nothing is run."""
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


def measure_update(config, batch_size) -> Footprint:
    """The update of a config with a batch of this size: the program that a run would compile."""
    found = measure(*_update_of(with_values(config, batch_size=batch_size)))
    if config.accumulate == 1:
        return found
    at_once = with_values(config, batch_size=batch_size, accumulate=1)  # a loop is counted once
    function, *arguments = _update_of(at_once)
    return found._replace(flops=_flops(function.lower(*arguments)))


def _update_of(config):
    """The jitted update of a config, and the shapes of its arguments."""
    setup = start.set_up(config)
    return setup.train_step(), setup.pack(start.template(setup)), _batch_template(setup)


def with_values(config, **values):
    """A copy of a config with other values of keys that are in no section."""
    config = config.copy_and_resolve_references()
    config.update(values)
    return config.lock()


def _batch_template(setup):
    """Shapes, types and shardings of what `loop.train` hands to an update beside the state."""
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
        memory: bytes of each device; None where the machine does not say.
        words: what part of which memory it is.
        most: images of one update at most; None for any number.
        resident: bytes that this process held already, where the memory is the host's, of which
            programs and batches take their part too; None for a device's own.
    """

    memory: int | None
    words: str
    most: int | None = None
    resident: int | None = None


def find_budget(mesh) -> Budget:
    """What an update may take of the devices of this process."""
    there = device_memory(mesh.local_devices[0])
    if there is not None:
        return Budget(int(DEVICE_SHARE * there), f"{DEVICE_SHARE:.0%} of the device's free memory")
    free = free_memory()
    # Devices of one machine's processors share its memory; so do processes there.
    sharers = mesh.local_mesh.size * processes_here()
    share = None if free is None else int(CPU_SHARE * free / sharers)
    return Budget(share, f"{CPU_SHARE:.0%} of the free memory", CPU_MOST, resident_memory())


def taken_beside(config, budget, mesh):
    """Bytes of a budget that a run takes beside its updates, for each device; the same everywhere.

    Measured between the second and the third compilation: each leaves about as much behind. Where
    programs come from the cache, that is little.
    """
    if budget.resident is None:
        return 0
    programs = 1.5 * max(0, resident_memory() - budget.resident)
    own = int(programs + (Supply.of(config).prefetch_mb << 20)) // mesh.local_mesh.size
    return max(map(int, company.exchange("beside", str(own))))


def processes_here():
    """How many processes of the run are on this machine, this one included."""
    names = company.exchange("machines", socket.gethostname())
    return names.count(socket.gethostname())


def find_largest(update_of, budget, unit, most, say, agree=lambda size: size, beside=lambda: 0):
    """The largest batch whose update fits, after at most three compilations.

    Memory grows with the batch along a line: two small batches give it, and what it says is
    compiled. Where that needs more than it said, the line through it and the larger small one says
    how much less fits.

    Args:
        update_of: `batch -> Footprint`.
        budget: `Budget`; its memory is known.
        unit: what a batch has to be a multiple of.
        most: images that a batch may have, at least `unit`.
        say: takes lines while it goes on.
        agree: what a process makes of a batch so that all compile the same.
        beside: bytes of the budget that go elsewhere, asked for once the small ones are compiled.

    Returns:
        `(batch, Footprint)`, that of the batch or, where it was not compiled, an estimate.

    Raises:
        UserError: not even a batch of `unit` fits.
    """
    most = most // unit * unit
    small = sorted({min(size, most) for size in ((unit, 2 * unit) if unit > 1 else (2, 4))})
    say(f"the largest batch: compiling updates of {' and '.join(map(str, small))} images")
    known = {size: update_of(size) for size in small}
    taken = beside()
    memory, whole = budget.memory - taken, f"{budget.words} is {in_words(budget.memory)}"
    if taken:
        whole += f", of which programs and waiting batches take {in_words(taken)}"
    guess = agree(_along(known, memory, unit, most))
    told = ", ".join(f"{size} need {in_words(known[size].memory)}" for size in known)
    say(f"{told}; {whole}: that is for about {guess}")
    if guess not in known and guess >= unit:
        say(f"compiling an update of {guess} images, to be sure")
        known[guess] = update_of(guess)
        if known[guess].memory > memory:
            fitting = [size for size in known if known[size].memory <= memory]
            guess = max([_along(known, memory, unit, guess - unit), *fitting])
    if guess < unit:
        least = min(known)
        raise UserError(
            f"config.batch_size=0: an update of {least} images needs "
            f"{in_words(known[least].memory)} and {whole}: take a smaller config.crop, or "
            "config.remat=True"
        )
    return guess, known.get(guess) or _estimate(known, guess)


def _along(known, memory, unit, most):
    """The largest multiple of `unit` that fits along the line of the two largest known batches."""
    if len(known) == 1:
        [(size, footprint)] = known.items()
        return size if footprint.memory <= memory else 0
    values = {size: footprint.memory for size, footprint in known.items()}
    slope, base = _line(values)
    if slope <= 0:  # as much for a large batch as for a small one
        fits = most if values[max(values)] <= memory else 0
    else:
        fits = int((memory - base) / slope)
    return max(0, min(fits, most) // unit * unit)


def _line(values):
    """`(slope, value at 0)` of the line through the two largest of `{size: value}`."""
    low, high = sorted(values)[-2:]
    slope = (values[high] - values[low]) / (high - low)
    return slope, values[low] - slope * low


def _estimate(known, size):
    parts = (_line({at: getattr(f, name) for at, f in known.items()}) for name in Footprint._fields)
    memory, flops = (slope * size + base for slope, base in parts)
    return Footprint(int(memory), flops)


def choose_batch(config, images, say):
    """The batch that `batch_size=0` means here; the first of several processes decides.

    All of them compile, since compilers of several hosts may wait for each other.

    Args:
        config: a whole config.
        images: of an epoch; None where nobody knows.
        say: takes lines while it goes on.

    Raises:
        UserError: nothing fits, or this machine does not say how much memory it has.
    """
    mesh = devices.make_mesh(config)
    unit, budget = mesh.size * config.accumulate, find_budget(mesh)
    known = [said for said in company.exchange("memory", str(budget.memory)) if said != "None"]
    if not known:
        raise UserError(
            "config.batch_size=0: this machine does not say how much memory is free: give a number"
        )
    budget = budget._replace(memory=min(map(int, known)))
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
        f"config.batch_size=0: taking {batch}, whose update needs {in_words(footprint.memory)} "
        f"by the compiler's figure, of {in_words(budget.memory)}; no more than {most} are taken"
    )
    return batch


def in_words(size):
    """Bytes as `512 MiB` or `1.5 GiB`."""
    return f"{size / 2**20:.0f} MiB" if size < 2**30 else f"{size / 2**30:.1f} GiB"
