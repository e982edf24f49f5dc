"""How many processes make batches, and how many batches may wait, where a config leaves that open.

Where the devices are this machine's processors, threads of this process are best: an update takes
far longer than its samples, and every core that makes them is taken from it. Accelerators are kept
busy by as many processes as there are cores for.
"""

from ppocr_jax.data.compact import most_bytes
from ppocr_jax.data.pipeline import CHOOSE, Supply
from ppocr_jax.errors import counted
from ppocr_jax.runtime.cores import usable_cores
from ppocr_jax.runtime.memory import free_memory
from ppocr_jax.training.footprint import in_words, processes_here

WORKER_BYTES = 260 << 20  # of a process that prepares samples
MOST_WORKERS = 64
AHEAD = 2  # finished batches that wait for each worker: they finish in bursts
HELD = AHEAD + 2  # batches that a worker has memory for: those, the one it makes, one in use
MEMORY_SHARE = 0.5  # of what is free on this machine


def choose_supply(config, mesh, say):
    """The `Supply` of a run, of which the batches do not depend.

    Args:
        config: a whole config; what it names counts.
        mesh: the devices.
        say: takes a line on what was chosen.
    """
    named = Supply(config.data.workers, config.data.prefetch_mb)
    on_cpu = mesh.local_devices[0].platform == "cpu"
    sharers = 1 if on_cpu else processes_here()  # all processes ask, whatever their configs name
    if CHOOSE not in named:
        return named
    supply, reason = Supply.of(config), ""
    if not on_cpu:
        share = max(1, config.batch_size * mesh.local_mesh.size // mesh.size)
        cores, free = usable_cores() // sharers, free_memory()
        memory = None if free is None else free // sharers
        supply = fitting(named, most_bytes(share, config.crop), cores, memory)
        known = "" if free is None else f" and {in_words(free)} of free memory"
        reason = f", for {counted(usable_cores(), 'core')}{known}"
    makers = counted(supply.workers, "process") if supply.workers else "threads of this process"
    say(
        f"images are prepared by {makers}, and up to {in_words(supply.prefetch_mb << 20)} of "
        f"finished batches wait{reason} (data.workers, data.prefetch_mb)"
    )
    return supply


def fitting(named, batch, cores, memory):
    """The `Supply` that keeps an accelerator busy.

    Args:
        named: `Supply` with what is to be chosen as `CHOOSE`.
        batch: bytes of a batch at most.
        cores: for this process.
        memory: bytes for it; None where nobody knows.
    """
    workers = named.workers
    if workers == CHOOSE:
        # One core copies batches to the devices and sends updates, another is the system's.
        workers = max(1, min(MOST_WORKERS, cores - (2 if cores > 4 else 1)))
        if memory is not None:
            fit = int(MEMORY_SHARE * memory) // (WORKER_BYTES + HELD * batch)
            workers = max(1, min(workers, fit))
    prefetch_mb = named.prefetch_mb
    if prefetch_mb == CHOOSE:
        prefetch_mb = -(-AHEAD * max(1, workers) * batch // 2**20)
    return Supply(workers, prefetch_mb)
