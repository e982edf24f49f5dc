"""Devices of a run: a one-axis mesh, what is replicated over it and what is split."""

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from ppocr_jax.errors import UserError


def make_mesh(config):
    """A mesh with the axis "data" over all visible devices, or the first `mesh.devices`.

    Raises:
        UserError: fewer devices than asked for.
    """
    devices = jax.devices()
    count = config.mesh.devices or len(devices)
    if count > len(devices):
        raise UserError(f"config.mesh.devices={count}: only {len(devices)} are visible")
    # Auto, since sorting and slicing a batch-sharded map is refused on explicit axes.
    return jax.make_mesh((count,), ("data",), (AxisType.Auto,), devices=devices[:count])


def require_even_shares(config, mesh):
    """Refuses a batch that the devices cannot share evenly."""
    if config.batch_size % mesh.size:
        fits = max(mesh.size, config.batch_size // mesh.size * mesh.size)
        raise UserError(
            f"config.batch_size={config.batch_size} does not divide over {mesh.size} devices: "
            f"take {fits}, or set config.mesh.devices"
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


def put_batch(batch, mesh):
    """This process's part of a batch (NumPy arrays) as global arrays, split over the mesh."""
    sharding = split(mesh)
    return {
        name: jax.make_array_from_process_local_data(sharding, value)
        for name, value in batch.items()
    }
