"""Chooses the number of data workers and the prefetch memory where a config leaves them open.

On CPU devices, threads of this process are best: an update takes far longer than preparing its
samples, and any core spent on them is taken from the update. An accelerator is kept busy by as many
worker processes as there are cores for.
"""

from collections.abc import Callable

import ml_collections
from jax.sharding import Mesh

from ppocr_jax.data.compact import most_bytes
from ppocr_jax.data.pipeline import CHOOSE, Supply
from ppocr_jax.errors import counted
from ppocr_jax.runtime.cores import usable_cores
from ppocr_jax.runtime.memory import free_memory
from ppocr_jax.training.footprint import in_words, processes_here

WORKER_BYTES = 260 << 20  # memory of one worker process
MOST_WORKERS = 64
AHEAD = 2  # finished batches per worker that may wait: workers finish in bursts
HELD = AHEAD + 2  # batches per worker in memory: those, the one it prepares and one in use
MEMORY_SHARE = 0.5  # of this machine's free memory that workers may take


def choose_supply(
    config: ml_collections.ConfigDict, mesh: Mesh, say: Callable[[str], object]
) -> Supply:
    """Chooses the `Supply` of a run. It affects speed only; the batches stay the same.

    Args:
        config: a whole config; values that it sets are kept.
        mesh: the devices.
        say: takes a line on what was chosen.
    """
    named = Supply(config.data.workers, config.data.prefetch_mb)
    on_cpu = mesh.local_devices[0].platform == "cpu"
    # A collective call: every process makes it, whatever its own config says.
    sharers = 1 if on_cpu else processes_here()
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


def fitting(named: Supply, batch: int, cores: int, memory: int | None) -> Supply:
    """The `Supply` that keeps an accelerator busy.

    Args:
        named: with `CHOOSE` for each value to be chosen.
        batch: largest size of a batch, bytes.
        cores: available to this process.
        memory: bytes available to this process; None if unknown.
    """
    workers = named.workers
    if workers == CHOOSE:
        # Leave one core for this process, which copies batches and dispatches updates, and on
        # larger machines one for the system.
        workers = max(1, min(MOST_WORKERS, cores - (2 if cores > 4 else 1)))
        if memory is not None:
            fit = int(MEMORY_SHARE * memory) // (WORKER_BYTES + HELD * batch)
            workers = max(1, min(workers, fit))
    prefetch_mb = named.prefetch_mb
    if prefetch_mb == CHOOSE:
        prefetch_mb = -(-AHEAD * max(1, workers) * batch // 2**20)
    return Supply(workers, prefetch_mb)
