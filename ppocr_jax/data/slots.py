"""Anonymous shared memory: a worker process writes batches into it, the main process reads them.

The memory has no name in any folder, so nothing can be left behind: it disappears with the last
process that has it open. It does not count towards the limit of /dev/shm either. It is divided into
*slots*, one per batch; a slot is free again when no array in the reading process refers to it.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from numpy.typing import DTypeLike

ALIGNMENT = 64  # bytes; JAX uses arrays aligned like this without a second copy on the host


def open_memory(size: int) -> int:
    """A file descriptor of `size` bytes of anonymous memory, which is allocated when written to.

    Raises:
        OSError: a limit of this process or of the system forbids it.
    """
    if hasattr(os, "memfd_create"):
        number = os.memfd_create("batches", os.MFD_CLOEXEC)
    else:  # not Linux: a temporary file that is already deleted
        with tempfile.TemporaryFile() as file:
            number = os.dup(file.fileno())
    try:
        os.ftruncate(number, size)
    except OSError:
        os.close(number)
        raise
    return number


class SlotWriter:
    """The slots as the writing process sees them.

    Args:
        number: file descriptor of the memory.
        count: number of slots.
        size: bytes of each, a multiple of `ALIGNMENT`.
    """

    def __init__(self, number: int, count: int, size: int) -> None:
        self._memory = np.frombuffer(mmap.mmap(number, count * size), np.uint8)
        self._size, self._begin, self._end = size, 0, 0

    def begin(self, slot: int) -> None:
        """Selects the slot that `allocate` uses from now on, from its beginning."""
        self._begin, self._end = slot * self._size, (slot + 1) * self._size

    def allocate(self, shape: Sequence[int], dtype: DTypeLike) -> np.ndarray:
        """An uninitialised array in the current slot, or in ordinary memory if the slot is full."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if not 0 < size <= self._end - self._begin:
            return np.empty(shape, dtype)
        place = self._memory[self._begin : self._begin + size]
        self._begin += -(-size // ALIGNMENT) * ALIGNMENT
        return place.view(dtype).reshape(shape)

    def place_of(self, buffer: memoryview) -> int | None:
        """Offset of a buffer in its slot, bytes; None if it is in no slot."""
        if not buffer.nbytes:
            return None
        at = np.frombuffer(buffer, np.uint8).ctypes.data - self._memory.ctypes.data
        return at % self._size if 0 <= at < len(self._memory) else None


class SlotReader:
    """The slots as the reading process sees them.

    Args:
        number, count, size: see `SlotWriter`.
        lent: slots that may be in use at a time; batches beyond that are copied, so that the writer
            never runs out of slots.
        give_back: called with the number of a slot that is free again, in any thread.
    """

    def __init__(
        self, number: int, count: int, size: int, lent: int, give_back: Callable[[int], Any]
    ) -> None:
        self._memory, self._size = mmap.mmap(number, count * size), size
        self._most, self._give_back = lent, give_back
        self._lent: set[int] = set()

    def take(self, slot: int, spans: Iterable[tuple[int, int]]) -> list[UInt8[np.ndarray, " _"]]:
        """The bytes of a slot at each `(begin, size)`, without a copy where possible.

        The slot is given back when no array refers to any of them.
        """
        view = np.frombuffer(self._memory, np.uint8, self._size, slot * self._size)
        parts = [view[begin : begin + size] for begin, size in spans]
        if len(self._lent) >= self._most:
            parts = [part.copy() for part in parts]
            self._give_back(slot)
            return parts
        self._lent.add(slot)
        # All parts, and all arrays made of them, keep `view` alive: its end is the end of them all.
        weakref.finalize(view, self._end, slot).atexit = False
        return parts

    def _end(self, slot: int) -> None:
        self._lent.discard(slot)
        self._give_back(slot)
