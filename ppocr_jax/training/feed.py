"""Batches on their way from the host to the devices, under the update before them."""

import queue
import threading

import jax
import jax.numpy as jnp
import numpy as np

from ppocr_jax import devices
from ppocr_jax.data import compact

PACKED = ("bits", "tiles", "places")  # the maps of a batch, see `compact.stack`


class Feed:
    """Iterator of `(facts, arrays)`: of a batch, what is no array of an update, and its arrays.

    With `ahead` a thread puts batches on the devices while the updates before them run; there are
    `ahead` that wait, one that is on its way and one that is in use. Without, each is put there
    when it is asked for: where the devices are this machine's processors nothing is gained.

    Use as a context manager: the thread, and the batches' own threads or processes, end with it.
    """

    def __init__(self, batches, put, ahead):
        """
        Args:
            batches: iterator of packed batches, with `close`.
            put: such a batch -> arrays of an update on the devices, once they are there.
            ahead: number of batches.
        """
        self._batches, self._put, self._thread = batches, put, None
        if ahead:
            self._ready, self._closed = queue.Queue(ahead), threading.Event()
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def __iter__(self):
        return self

    def __next__(self):
        """The next one. Raises what making it raised."""
        if self._thread is None:
            return self._place(next(self._batches))
        item = self._ready.get()
        if isinstance(item, BaseException):
            self._ready.put(item)  # for whoever asks again
            raise item
        return item

    def _place(self, batch):
        return {name: batch[name] for name in ("record", "failures", "textless")}, self._put(batch)

    def _run(self):
        """In a thread: one batch after the other, and what ended them."""
        try:
            for batch in self._batches:
                item = self._place(batch)
                del batch  # its memory is written again once nobody holds it
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

    def close(self):
        """Ends what makes batches, and the thread; nothing the second time."""
        if self._thread is None:
            self._batches.close()
            return
        self._closed.set()
        self._batches.close()
        while self._thread.is_alive():  # it may be about to hand something over
            try:
                self._ready.get(timeout=0.02)
            except queue.Empty:
                continue


def ahead_of(mesh):
    """Batches that `Feed` should have waiting on the devices of a mesh."""
    return 0 if mesh.local_devices[0].platform == "cpu" else 1


def put(batch, mesh):
    """Arrays of an update from this process's part of a packed batch, split over the mesh."""
    if mesh.local_devices[0].platform == "cpu":
        maps = compact.unpack(batch)
        return devices.put_batch({"image": batch["image"], **maps}, mesh)
    return put_packed(batch, mesh)


def put_packed(batch, mesh):
    """As `put`; the maps are unpacked on the devices, each its own.

    Returns when the packed arrays are there: the host's memory may be written again then, and an
    update that is given these arrays has not to wait for a copy.
    """
    shape = (len(batch["image"]) * jax.process_count(), *batch["image"].shape[1:])
    sharding = devices.split(mesh)
    places = sharding.addressable_devices_indices_map(shape)
    own = sorted(places, key=lambda device: places[device][0].start or 0)
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
    """`compact.unpack` on a device: the same maps to the bit."""
    count, rows, columns = places.shape
    side = compact.SIDE
    shape = (count, rows * side, columns * side)
    shifts = jnp.arange(8, dtype=np.uint8).reshape(1, 1, 1, 1, 8)
    ones = ((bits[..., None] >> shifts) & np.uint8(1)).reshape(count, -1, *shape[1:])
    drawn = tiles[places].reshape(count, rows, columns, side, side)
    threshold_map = drawn.transpose(0, 1, 3, 2, 4).reshape(shape)
    maps = {name: ones[:, index] for index, name in enumerate(compact.BITS)}
    return {"threshold_map": threshold_map, **maps}
