"""Worker processes that make batches, and that always end with the main process.

A worker writes its batches into shared memory (see `slots`) and reports through a socket which
batch is where. Memory and socket are anonymous. When the main process ends, even by SIGKILL, its
workers see the end of the socket and exit, and nothing is left behind in shared memory. Grain's own
worker processes pass batches in named segments, which survive a process that is killed.

A message is a header (`HEAD`), the positions of the arrays (`SPAN` each), a pickle, and the bytes
of those arrays that are not in shared memory.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import socket
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import IO, Any

from ppocr_jax.data import slots
from ppocr_jax.errors import UserError, first_line

HEAD = struct.Struct("<QQq")  # bytes of the pickle, number of arrays, their slot
SPAN = struct.Struct("<qQ")  # offset of an array in the slot, and its bytes
NOWHERE = -1  # as a slot or an offset: the bytes come through the socket
# Ctrl-C and the signals of launchers reach the workers too; the main process decides what to do.
LEFT_TO_THE_PARENT = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}


class Workers:
    """Iterator over batches, in order: batch n is made by worker n modulo their number.

    The arrays of a batch stay in shared memory, without a copy, for as long as they are used.
    """

    def __init__(
        self, make: Callable[..., Any], total: int, count: int, ahead: int, batch_bytes: int = 0
    ) -> None:
        """Starts the workers.

        Args:
            make: number of a batch -> batch; sent to the workers as a pickle. With `batch_bytes`
                it is also given `allocate`, `(shape, dtype) -> array`, for the batch's arrays.
            total: number of batches.
            count: number of worker processes.
            ahead: finished batches that may wait in each worker.
            batch_bytes: limit on the bytes of a batch's arrays; 0 sends them through the socket.
        """
        job = pickle.dumps(make)
        self._workers = [
            _Worker(job, range(n, total, count), ahead, 3 if count == 1 else 2, batch_bytes)
            for n in range(count)
        ]
        self._numbers = iter(range(total))

    def __iter__(self) -> Workers:
        return self

    def __next__(self) -> Any:
        """The next batch. Raises the worker's exception, or UserError if a worker has died."""
        workers = self._workers
        number = next(self._numbers, None) if workers else None
        if number is None:
            self.close()
            raise StopIteration
        batch, error = workers[number % len(workers)].receive()
        if error is not None:
            self.close()
            raise error
        return batch

    def close(self) -> None:
        """Ends the workers. May be called twice, and while another thread waits for a batch."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.end()


class _Worker:
    """A worker process, and the main process's end of the socket to it."""

    def __init__(
        self, job: bytes, numbers: Sequence[int], ahead: int, lent: int, batch_bytes: int
    ) -> None:
        self._socket, theirs = socket.socketpair()
        self._stream = self._socket.makefile("rb")
        self._slots: slots.SlotReader | None = None
        # `ahead` batches wait, one is being written, and `lent` are in use here.
        shape = ahead + 1 + lent, -(-batch_bytes // slots.ALIGNMENT) * slots.ALIGNMENT
        memory = self._open_slots(*shape, lent) if batch_bytes else None
        path = os.pathsep.join(entry for entry in sys.path if entry)
        # Blocked while the child starts, because a child inherits the mask.
        old = signal.pthread_sigmask(signal.SIG_BLOCK, LEFT_TO_THE_PARENT)
        passed = [theirs.fileno(), *([] if memory is None else [memory])]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, *map(str, passed)],
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                pass_fds=passed,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)
            theirs.close()
            if memory is not None:
                os.close(memory)
        # In a thread, because the labels of a large set exceed the socket's buffer.
        given = (job, numbers, ahead, shape)
        threading.Thread(target=self._give, args=(given,), daemon=True).start()

    def _open_slots(self, count: int, size: int, lent: int) -> int | None:
        """A file descriptor of memory for the slots; None if a limit of this process forbids it."""
        try:
            memory = slots.open_memory(count * size)
        except OSError:  # then the batches come through the socket
            return None
        try:
            self._slots = slots.SlotReader(memory, count, size, lent, self._give_back)
        except OSError:
            os.close(memory)
            return None
        return memory

    def _give_back(self, slot: int) -> None:
        with contextlib.suppress(OSError):  # the worker has ended
            self._socket.send(bytes([slot]))

    def _give(self, job: Any) -> None:
        with contextlib.suppress(OSError):  # the worker has ended; `receive` reports it
            send(self._socket, job)

    def receive(self) -> tuple[Any, BaseException | None]:
        """`(batch, None)`, or `(None, the exception that says why there is none)`."""
        try:
            return receive(self._stream, self._slots)
        except (EOFError, OSError, ValueError):  # ValueError: the stream is closed
            return None, self._ending()

    def _ending(self) -> UserError:
        """Says how the worker died."""
        status = self._process.wait()
        how = f"exited with status {status}" if status >= 0 else f"was ended by signal {-status}"
        short = ", as systems do when memory runs out" if status == -signal.SIGKILL else ""
        return UserError(
            f"a worker process of config.data.workers {how}{short}: run the same command again, "
            "with fewer workers if it happens again"
        )

    def end(self) -> None:
        """Kills the process and closes the socket."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()  # the stream stays open until nobody reads it


def send(
    connection: socket.socket,
    value: Any,
    slot: int = NOWHERE,
    place_of: Callable[[memoryview], int | None] = lambda buffer: None,
) -> None:
    """Sends a value over a socket; arrays that are in shared memory are only referred to.

    Args:
        connection: the socket.
        value: anything that can be pickled.
        slot: the slot that holds arrays of the value.
        place_of: offset of an array in the slot; None to send the array itself.
    """
    buffers: list[pickle.PickleBuffer] = []
    text = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    parts = [buffer.raw() for buffer in buffers]
    places = [place_of(part) for part in parts]
    spans = b"".join(
        SPAN.pack(NOWHERE if place is None else place, part.nbytes)
        for place, part in zip(places, parts, strict=True)
    )
    head = HEAD.pack(len(text), len(parts), slot) + spans
    sent = [part for place, part in zip(places, parts, strict=True) if place is None]
    message: list[bytes | memoryview] = [head, text, *sent]
    for data in message:
        connection.sendall(data)


def receive(stream: IO[bytes], slots: slots.SlotReader | None = None) -> Any:
    """The next value from the stream of a socket.

    Args:
        stream: the socket's stream.
        slots: the memory that arrays of the value may be in.

    Raises:
        EOFError: the other side has closed the socket.
    """
    length, count, slot = HEAD.unpack(_read(stream, HEAD.size))
    spans = list(SPAN.iter_unpack(_read(stream, SPAN.size * count)))
    text = _read(stream, length)
    inside = [span for span in spans if span[0] != NOWHERE]
    there = iter(slots.take(slot, inside) if slots and slot != NOWHERE else ())
    buffers = [_read(stream, size) if at == NOWHERE else next(there) for at, size in spans]
    return pickle.loads(text, buffers=buffers)


def _read(stream: IO[bytes], size: int) -> bytearray:
    """Exactly `size` bytes. Raises EOFError: there are fewer."""
    buffer = bytearray(size)
    if stream.readinto(buffer) != size:  # type: ignore[attr-defined]  # a BufferedReader
        raise EOFError
    return buffer


def work(connection: socket.socket, memory: int | None = None) -> None:
    """The main function of a worker: receives its job, makes its batches, then returns.

    Args:
        connection: socket to the main process.
        memory: file descriptor of the slots; None if there are none.
    """
    stream = connection.makefile("rb")
    try:
        job, numbers, ahead, shape = receive(stream)
    except (EOFError, OSError):
        return
    # Last in, first out: memory that was used a moment ago is still in the processor's cache.
    free: queue.LifoQueue[int] = queue.LifoQueue()
    written = None
    if memory is not None:
        written = slots.SlotWriter(memory, *shape)
        for slot in range(shape[0]):
            free.put(slot)
    # Before the job is unpickled, which imports everything it needs and takes a while.
    threading.Thread(target=_listen, args=(stream, free), daemon=True).start()
    made: queue.Queue[tuple[int, Any, BaseException | None]] = queue.Queue(ahead)
    arguments = (job, numbers, made, written, free)
    threading.Thread(target=_make, args=arguments, daemon=True).start()
    place_of = written.place_of if written else lambda buffer: None
    with contextlib.suppress(OSError):
        for _ in numbers:
            slot, batch, error = made.get()
            send(connection, (batch, error), slot, place_of)
            if error is not None:
                return


def _listen(stream: IO[bytes], free: queue.LifoQueue[int]) -> None:
    """Receives slots that are free again; exits this process when the main process is gone.

    The main process may have been killed, so nobody else would end this one.
    """
    with contextlib.suppress(OSError):
        while slot := stream.read(1):
            free.put(slot[0])
    os._exit(0)


def _make(
    job: bytes,
    numbers: Sequence[int],
    made: queue.Queue[tuple[int, Any, BaseException | None]],
    written: slots.SlotWriter | None,
    free: queue.LifoQueue[int],
) -> None:
    """Runs in a thread: makes batches while earlier ones are sent."""
    try:
        make = pickle.loads(job)
        for number in numbers:
            slot = NOWHERE
            arguments: tuple[Any, ...] = ()
            if written is not None:
                slot, arguments = free.get(), (written.allocate,)
                written.begin(slot)
            made.put((slot, make(number, *arguments), None))
    except Exception as error:
        made.put((NOWHERE, None, _portable(error)))


def _portable(error: Exception) -> Exception:
    """An exception that the main process can unpickle, with the worker's traceback in a note."""
    if not isinstance(error, UserError):
        error.add_note("In a worker process:\n" + traceback.format_exc())
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(f"{first_line(error)}\n" + traceback.format_exc())


if __name__ == "__main__":
    work(socket.socket(fileno=int(sys.argv[1])), *map(int, sys.argv[2:]))
    # Without Python's own shutdown, which can stop a thread inside OpenCV and print an error.
    os._exit(0)
