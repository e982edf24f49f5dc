"""The devices and processes of a run: a mesh with one axis, replicated state, sharded batches."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Shaped

from ppocr_jax.errors import UserError
from ppocr_jax.processes import company


def wait_for_all(name: str) -> None:
    """A barrier: waits until every process has reached the point of this name."""
    company.exchange(name)


def gather(rows: Any) -> Shaped[np.ndarray, "P ..."]:
    """Collects the rows of all P processes, in their order.

    Args:
        rows: of this process, equal in shape on all; float32 or int32.
    """
    if jax.process_count() == 1:
        return np.asarray(rows)[None]
    return multihost_utils.process_allgather(np.asarray(rows))


def make_mesh(config: ml_collections.ConfigDict) -> Mesh:
    """A mesh with the axis "data" over all visible devices, or `mesh.devices` of them.

    With several processes it takes the same number of devices from each, the first ones.

    Raises:
        UserError: too few devices, or a number that the processes cannot share evenly.
    """
    devices = jax.devices()
    count, processes = config.mesh.devices or len(devices), jax.process_count()
    if count > len(devices):
        raise UserError(f"config.mesh.devices={count}: only {len(devices)} are visible")
    if count % processes:
        raise UserError(
            f"config.mesh.devices={count}: cannot be shared evenly by {processes} processes"
        )
    if count < len(devices):
        own = [[d for d in devices if d.process_index == p] for p in range(processes)]
        devices = [device for part in own for device in part[: count // processes]]
    return mesh_of(devices)


def mesh_of(devices: Sequence[jax.Device]) -> Mesh:
    """A mesh with the axis "data" over the given devices."""
    # Auto, because JAX refuses to sort or slice a batch-sharded map on explicit axes.
    return jax.make_mesh((len(devices),), ("data",), (AxisType.Auto,), devices=devices)


def require_even_shares(config: ml_collections.ConfigDict, mesh: Mesh) -> None:
    """Checks that the batch divides over the devices and micro-batches.

    Raises:
        UserError: it does not; names a batch size that does.
    """
    shares = mesh.size * config.accumulate
    if config.batch_size % shares:
        fits = max(shares, config.batch_size // shares * shares)
        parts = f" and {config.accumulate} micro-batches" if config.accumulate > 1 else ""
        raise UserError(
            f"config.batch_size={config.batch_size} does not divide over {mesh.size} devices"
            f"{parts}: use {fits}, or set config.mesh.devices or config.accumulate"
        )


def replicated(mesh: Mesh) -> NamedSharding:
    """Sharding of arrays that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh) -> NamedSharding:
    """Sharding of a batch: its first axis is split over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Copies a tree of host or device arrays to every device of the mesh."""
    # Via NumPy: a device array of one process cannot be put on a mesh of several processes.
    return jax.device_put(jax.tree.map(np.asarray, tree), replicated(mesh))


def own_part(tree: Any, mesh: Mesh) -> tuple[Any, NamedSharding]:
    """A replicated tree on this process's devices only, and a sharding of batches over them.

    Computations with it need no other process.
    """
    local = mesh.local_mesh
    if jax.process_count() > 1:
        tree = jax.tree.map(lambda leaf: np.asarray(leaf.addressable_data(0)), tree)
        tree = jax.device_put(tree, replicated(local))
    return tree, split(local)


def put_batch(
    batch: Mapping[str, Shaped[np.ndarray, "B ..."]], mesh: Mesh
) -> dict[str, Shaped[Array, "B ..."]]:
    """Makes global arrays, split over the mesh, from this process's part of a batch."""
    sharding = split(mesh)
    arrays = {
        name: jax.make_array_from_process_local_data(sharding, value)
        for name, value in batch.items()
    }
    return ready_on_cpu(arrays)


def ready_on_cpu(arrays: Any) -> Any:
    """Returns the arrays; on CPU devices only once they are ready.

    On CPU a program that has to wait for its inputs runs in another thread, which does not keep
    freed memory, see `runtime.process.keep_freed_memory`.
    """
    return jax.block_until_ready(arrays) if jax.default_backend() == "cpu" else arrays
