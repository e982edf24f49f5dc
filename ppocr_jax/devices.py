"""Processes and devices of a run: a one-axis mesh, what is replicated over it, what is split."""

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from ppocr_jax.errors import UserError
from ppocr_jax.processes import company


def wait_for_all(name):
    """Returns when every process has come to the place of this name."""
    company.exchange(name)


def gather(rows):
    """Rows of all processes, `[P, ...]` in their order, from this one's; float32 or int32."""
    if jax.process_count() == 1:
        return np.asarray(rows)[None]
    return multihost_utils.process_allgather(np.asarray(rows))


def make_mesh(config):
    """A mesh with the axis "data" over all visible devices, or `mesh.devices` of them.

    With several processes these are the first ones of each, equally many.

    Raises:
        UserError: fewer devices than asked for, or a number that the processes cannot share.
    """
    devices = jax.devices()
    count, processes = config.mesh.devices or len(devices), jax.process_count()
    if count > len(devices):
        raise UserError(f"config.mesh.devices={count}: only {len(devices)} are visible")
    if count % processes:
        raise UserError(f"config.mesh.devices={count}: {processes} processes cannot share them")
    if count < len(devices):
        own = [[d for d in devices if d.process_index == p] for p in range(processes)]
        devices = [device for part in own for device in part[: count // processes]]
    return mesh_of(devices)


def mesh_of(devices):
    """A mesh with the axis "data" over some devices."""
    # Auto, since sorting and slicing a batch-sharded map is refused on explicit axes.
    return jax.make_mesh((len(devices),), ("data",), (AxisType.Auto,), devices=devices)


def require_even_shares(config, mesh):
    """Refuses a batch that the devices, or its micro-batches, cannot share evenly."""
    shares = mesh.size * config.accumulate
    if config.batch_size % shares:
        fits = max(shares, config.batch_size // shares * shares)
        parts = f" and {config.accumulate} micro-batches" if config.accumulate > 1 else ""
        raise UserError(
            f"config.batch_size={config.batch_size} does not divide over {mesh.size} devices"
            f"{parts}: take {fits}, or set config.mesh.devices or config.accumulate"
        )


def replicated(mesh):
    return NamedSharding(mesh, PartitionSpec())


def split(mesh):
    """Sharding of a batch: its first axis over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def replicate(tree, mesh):
    """A tree of host or device arrays, whole on every device of the mesh."""
    # From NumPy: putting one process's device array on a mesh of several processes is not whole.
    return jax.device_put(jax.tree.map(np.asarray, tree), replicated(mesh))


def own_part(tree, mesh):
    """A replicated tree on this process's devices alone, and a sharding of batches over them.

    What is computed with it needs no other process.
    """
    local = mesh.local_mesh
    if jax.process_count() > 1:
        tree = jax.tree.map(lambda leaf: np.asarray(leaf.addressable_data(0)), tree)
        tree = jax.device_put(tree, replicated(local))
    return tree, split(local)


def put_batch(batch, mesh):
    """This process's part of a batch (NumPy arrays) as global arrays, split over the mesh."""
    sharding = split(mesh)
    arrays = {
        name: jax.make_array_from_process_local_data(sharding, value)
        for name, value in batch.items()
    }
    return ready_on_cpu(arrays)


def ready_on_cpu(arrays):
    """The arrays; on CPU once they are there.

    A program that has to wait for its inputs would run in another thread than the caller's there,
    and freed memory is not kept in that, see `runtime.keep_freed_memory`.
    """
    return jax.block_until_ready(arrays) if jax.default_backend() == "cpu" else arrays
