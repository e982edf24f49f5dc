"""Memory without a name that two processes see: one writes batches into it, the other reads them.

It is in no folder, so nothing of it can stay: it is gone with the last process that has it open.
It has no part in the limit of /dev/shm either. Where one writes there is a *slot*; it is free again
when nothing in the reading process looks into it any more.
"""

import mmap
import os
import tempfile
import weakref

import numpy as np

ALIGNMENT = 64  # bytes; arrays that begin there are copied to devices as they lie, or not at all


def open_memory(size):
    """A file descriptor of `size` bytes that have no name; they are taken as they are written.

    Raises:
        OSError: a limit of this process or of the system.
    """
    if hasattr(os, "memfd_create"):
        number = os.memfd_create("batches", os.MFD_CLOEXEC)
    else:  # not Linux: a file that has lost its name
        with tempfile.TemporaryFile() as file:
            number = os.dup(file.fileno())
    try:
        os.ftruncate(number, size)
    except OSError:
        os.close(number)
        raise
    return number


class Written:
    """Slots as the process sees them that writes into them.

    Args:
        number: file descriptor of the memory.
        count: slots.
        size: bytes of each, a multiple of `ALIGNMENT`.
    """

    def __init__(self, number, count, size):
        self._memory = np.frombuffer(mmap.mmap(number, count * size), np.uint8)
        self._size, self._begin, self._end = size, 0, 0

    def begin(self, slot):
        """The arrays that are allocated from here on lie in this slot."""
        self._begin, self._end = slot * self._size, (slot + 1) * self._size

    def allocate(self, shape, dtype):
        """An array in the present slot; outside of it where that is full."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if not 0 < size <= self._end - self._begin:
            return np.empty(shape, dtype)
        place = self._memory[self._begin : self._begin + size]
        self._begin += -(-size // ALIGNMENT) * ALIGNMENT
        return place.view(dtype).reshape(shape)

    def place_of(self, buffer):
        """Where the bytes of a buffer begin in their slot; None where they are in none."""
        if not buffer.nbytes:
            return None
        at = np.frombuffer(buffer, np.uint8).ctypes.data - self._memory.ctypes.data
        return at % self._size if 0 <= at < len(self._memory) else None


class Read:
    """Slots as the process sees them that reads.

    Args:
        number, count, size: see `Written`.
        lent: slots that may be looked into at a time; of what comes beyond that there are copies,
            so that the writer is never out of slots.
        give_back: takes the number of a slot that is free again; called in any thread.
    """

    def __init__(self, number, count, size, lent, give_back):
        self._memory, self._size = mmap.mmap(number, count * size), size
        self._most, self._lent, self._give_back = lent, set(), give_back

    def take(self, slot, spans):
        """The bytes at `(begin, size)` of a slot, which ends when nobody holds any of them."""
        view = np.frombuffer(self._memory, np.uint8, self._size, slot * self._size)
        parts = [view[begin : begin + size] for begin, size in spans]
        if len(self._lent) >= self._most:
            parts = [part.copy() for part in parts]
            self._give_back(slot)
            return parts
        self._lent.add(slot)
        weakref.finalize(view, self._end, slot).atexit = False
        return parts

    def _end(self, slot):
        self._lent.discard(slot)
        self._give_back(slot)
