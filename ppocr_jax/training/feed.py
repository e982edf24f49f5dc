"""Moves batches from the host to the devices while the previous update runs."""

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Shaped

from ppocr_jax import devices
from ppocr_jax.data import compact

PACKED = ("bits", "tiles", "places")  # the packed target maps of a batch, see `compact.stack`

Arrays = dict[str, Shaped[Array, "B ..."]]


class Feed:
    """Iterator of `(facts, arrays)`: what the host needs to know of a batch, and its device arrays.

    With `ahead` a thread copies batches to the devices while earlier updates run: `ahead` batches
    wait, one is being copied and one is in use. With `ahead=0` each batch is copied on request; on
    CPU devices there is nothing to overlap.

    Use as a context manager: it ends the thread, and the threads or processes behind `batches`.
    """

    def __init__(self, batches: Any, put: Callable[[dict[str, Any]], Arrays], ahead: int) -> None:
        """
        Args:
            batches: iterator of packed batches (see `data.pipeline`) with a `close` method.
            put: copies a packed batch to the devices and returns the arrays of an update.
            ahead: batches that wait on the devices.
        """
        self._batches, self._put = batches, put
        self._thread: threading.Thread | None = None
        if ahead:
            self._ready: queue.Queue[Any] = queue.Queue(ahead)
            self._closed = threading.Event()
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def __iter__(self) -> Iterator[tuple[dict[str, Any], Arrays]]:
        return self

    def __next__(self) -> tuple[dict[str, Any], Arrays]:
        """The next batch. Re-raises any exception from the thread."""
        if self._thread is None:
            return self._place(next(self._batches))
        item = self._ready.get()
        if isinstance(item, BaseException):
            self._ready.put(item)  # the next call must raise too
            raise item
        return item

    def _place(self, batch):
        return {name: batch[name] for name in ("record", "failures", "textless")}, self._put(batch)

    def _run(self):
        """In the thread: queues every batch, then the exception that ended the iteration."""
        try:
            for batch in self._batches:
                item = self._place(batch)
                del batch  # lets the workers reuse its memory
                self._ready.put(item)
                if self._closed.is_set():
                    return
            self._ready.put(StopIteration())
        except BaseException as error:
            self._ready.put(error)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Closes `batches` and ends the thread. A second call does nothing."""
        if self._thread is None:
            self._batches.close()
            return
        self._closed.set()
        self._batches.close()
        while self._thread.is_alive():  # it may be blocked on a full queue: make room
            try:
                self._ready.get(timeout=0.02)
            except queue.Empty:
                continue


def ahead_of(mesh: Mesh) -> int:
    """How many batches `Feed` should keep waiting on the devices of a mesh."""
    return 0 if mesh.local_devices[0].platform == "cpu" else 1


def put(batch: dict[str, Any], mesh: Mesh) -> Arrays:
    """Turns this process's part of a packed batch into the arrays of an update.

    Args:
        batch: see `data.compact.stack`.
        mesh: the devices; the batch axis is split over them.

    Returns:
        `image` uint8 `[B, H, W, 3]` and the target maps `[B, H, W]`, with B the global batch.
    """
    if mesh.local_devices[0].platform == "cpu":
        maps = compact.unpack(batch)
        return devices.put_batch({"image": batch["image"], **maps}, mesh)
    return put_packed(batch, mesh)


def put_packed(batch: dict[str, Any], mesh: Mesh) -> Arrays:
    """As `put`, for accelerators: copies the packed maps and unpacks them on each device.

    Returns once the copies are complete, so that the host may reuse the batch's memory and the
    update does not wait for a transfer.
    """
    shape = (len(batch["image"]) * jax.process_count(), *batch["image"].shape[1:])
    sharding = devices.split(mesh)
    places = sharding.addressable_devices_indices_map(shape)
    # Devices in the order of their rows: part i of the batch belongs to the i-th of them.
    own = sorted(places, key=lambda device: (places[device] or (slice(0),))[0].start or 0)
    parts = compact.split(batch, len(own))
    there = [
        jax.device_put({name: part[name] for name in ("image", *PACKED)}, device)
        for part, device in zip(parts, own, strict=True)
    ]
    jax.block_until_ready(there)
    whole = [{"image": part["image"], **_unpack(*(part[n] for n in PACKED))} for part in there]
    return {
        name: jax.make_array_from_single_device_arrays(
            (shape[0], *whole[0][name].shape[1:]), sharding, [part[name] for part in whole]
        )
        for name in whole[0]
    }


@jax.jit
def _unpack(bits, tiles, places):
    """`compact.unpack` on a device; bit-identical to it."""
    count, rows, columns = places.shape
    side = compact.SIDE
    shape = (count, rows * side, columns * side)
    shifts = jnp.arange(8, dtype=np.uint8).reshape(1, 1, 1, 1, 8)
    ones = ((bits[..., None] >> shifts) & np.uint8(1)).reshape(count, -1, *shape[1:])
    drawn = tiles[places].reshape(count, rows, columns, side, side)
    threshold_map = drawn.transpose(0, 1, 3, 2, 4).reshape(shape)
    maps = {name: ones[:, index] for index, name in enumerate(compact.BITS)}
    return {"threshold_map": threshold_map, **maps}
