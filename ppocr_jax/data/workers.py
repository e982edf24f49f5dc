"""Batches made by processes of their own, which end with this one whatever ends it.

A worker writes its batches into memory that this process sees as well, see `slots`, and says which
one is where through a socket. Neither has a name. When this process is gone, killed or not, its
workers read the end of that socket and end too, and there is nothing that could stay in shared
memory: Grain's own worker processes pass batches in named segments, which outlive a process that
is killed.
"""

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

from ppocr_jax.data import slots
from ppocr_jax.errors import UserError, first_line

HEAD = struct.Struct("<QQq")  # bytes of a message's pickle, its buffers, and their slot
SPAN = struct.Struct("<qQ")  # where a buffer begins in the slot, and its bytes
NOWHERE = -1  # in the place of a slot, or of a place in it: the bytes come through the socket
# Ctrl-C and what launchers send reach the workers too: what it means is up to this process.
LEFT_TO_THE_PARENT = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}


class Workers:
    """Iterator over batches in their order: number n is made by worker n modulo their count.

    Arrays of a batch lie where their worker wrote them, for as long as anybody holds them.
    """

    def __init__(self, make, total, count, ahead, batch_bytes=0):
        """Starts the workers.

        Args:
            make: number of a batch -> batch; goes to the workers by pickle. With `batch_bytes` it
                takes `allocate` too, `(shape, dtype) -> array`, for the arrays of the batch.
            total: batches to give.
            count: worker processes.
            ahead: finished batches that may wait in each of them.
            batch_bytes: of the arrays of a batch at most; with 0 they come through the socket.
        """
        job = pickle.dumps(make)
        self._workers = [
            _Worker(job, range(n, total, count), ahead, 3 if count == 1 else 2, batch_bytes)
            for n in range(count)
        ]
        self._numbers = iter(range(total))

    def __iter__(self):
        return self

    def __next__(self):
        """The next batch. Raises what its making raised; UserError where a worker has ended."""
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

    def close(self):
        """Ends the workers; nothing the second time. May be called while a batch is waited for."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.end()


class _Worker:
    """A started process and this side of the socket to it."""

    def __init__(self, job, numbers, ahead, lent, batch_bytes):
        self._socket, theirs = socket.socketpair()
        self._stream, self._slots = self._socket.makefile("rb"), None
        # One is being written, and others are looked into here.
        shape = ahead + 1 + lent, -(-batch_bytes // slots.ALIGNMENT) * slots.ALIGNMENT
        memory = self._open_slots(*shape, lent) if batch_bytes else None
        path = os.pathsep.join(entry for entry in sys.path if entry)
        old = signal.pthread_sigmask(signal.SIG_BLOCK, LEFT_TO_THE_PARENT)  # a child inherits this
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
        # In a thread: the labels of a large split are more than a socket takes unread.
        given = (job, numbers, ahead, shape)
        threading.Thread(target=self._give, args=(given,), daemon=True).start()

    def _open_slots(self, count, size, lent):
        """A file descriptor of memory for slots; None where a limit of this process forbids it."""
        try:
            memory = slots.open_memory(count * size)
        except OSError:  # batches come through the socket then
            return None
        try:
            self._slots = slots.SlotReader(memory, count, size, lent, self._give_back)
        except OSError:
            os.close(memory)
            return None
        return memory

    def _give_back(self, slot):
        with contextlib.suppress(OSError):  # the process has ended
            self._socket.send(bytes([slot]))

    def _give(self, job):
        with contextlib.suppress(OSError):  # the process has ended, which `receive` says
            send(self._socket, job)

    def receive(self):
        """`(batch, None)`, or `(None, why there is none)`."""
        try:
            return receive(self._stream, self._slots)
        except (EOFError, OSError, ValueError):  # the last one of a stream that is closed
            return None, self._ending()

    def _ending(self):
        status = self._process.wait()
        how = f"with status {status}" if status >= 0 else f"by signal {-status}"
        short = ", as systems do when memory runs out" if status == -signal.SIGKILL else ""
        return UserError(
            f"a worker process of config.data.workers was ended {how}{short}: run the same "
            "command again, with fewer workers if this comes back"
        )

    def end(self):
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()  # the stream stays open until nobody reads it


def send(connection, value, slot=NOWHERE, place_of=lambda buffer: None):
    """Sends a value over a socket, its arrays as they lie in memory.

    Args:
        connection: a socket.
        value: what can be pickled.
        slot: number of the slot with arrays of it.
        place_of: a buffer -> where it begins in the slot; None for one that is sent as well.
    """
    buffers = []
    text = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    parts = [buffer.raw() for buffer in buffers]
    places = [place_of(part) for part in parts]
    spans = b"".join(
        SPAN.pack(NOWHERE if place is None else place, part.nbytes)
        for place, part in zip(places, parts, strict=True)
    )
    sent = [part for place, part in zip(places, parts, strict=True) if place is None]
    for part in (HEAD.pack(len(text), len(parts), slot) + spans, text, *sent):
        connection.sendall(part)


def receive(stream, slots=None):
    """The next value from the stream of a socket; `slots`, a `slots.SlotReader`, has its arrays.

    Raises:
        EOFError: there comes no more.
    """
    length, count, slot = HEAD.unpack(_read(stream, HEAD.size))
    spans = list(SPAN.iter_unpack(_read(stream, SPAN.size * count)))
    text = _read(stream, length)
    inside = [span for span in spans if span[0] != NOWHERE]
    there = iter(slots.take(slot, inside) if slot != NOWHERE else ())
    buffers = [_read(stream, size) if at == NOWHERE else next(there) for at, size in spans]
    return pickle.loads(text, buffers=buffers)


def _read(stream, size):
    buffer = bytearray(size)
    if stream.readinto(buffer) != size:
        raise EOFError
    return buffer


def work(connection, memory=None):
    """All that a worker does: takes its job, makes its batches, ends when nobody wants them.

    Args:
        connection: socket to the process that wants them.
        memory: file descriptor of the slots; None where there are none.
    """
    stream = connection.makefile("rb")
    try:
        job, numbers, ahead, shape = receive(stream)
    except (EOFError, OSError):
        return
    written, free = None, queue.LifoQueue()  # what was used last is the first to be used again
    if memory is not None:
        written = slots.SlotWriter(memory, *shape)
        for slot in range(shape[0]):
            free.put(slot)
    # Before the job is unpacked, since that imports all that it needs.
    threading.Thread(target=_listen, args=(stream, free), daemon=True).start()
    made = queue.Queue(ahead)
    arguments = (job, numbers, made, written, free)
    threading.Thread(target=_make, args=arguments, daemon=True).start()
    place_of = written.place_of if written else lambda buffer: None
    with contextlib.suppress(OSError):
        for _ in numbers:
            slot, batch, error = made.get()
            send(connection, (batch, error), slot, place_of)
            if error is not None:
                return


def _listen(stream, free):
    """Takes slots that are free again; ends this process when the other side of its socket is gone.

    Nobody may be there to end it: the other process may have been killed.
    """
    with contextlib.suppress(OSError):
        while slot := stream.read(1):
            free.put(slot[0])
    os._exit(0)


def _make(job, numbers, made, written, free):
    """In a thread: makes batches while earlier ones are sent."""
    try:
        make = pickle.loads(job)
        for number in numbers:
            slot, arguments = NOWHERE, ()
            if written is not None:
                slot, arguments = free.get(), (written.allocate,)
                written.begin(slot)
            made.put((slot, make(number, *arguments), None))
    except Exception as error:
        made.put((NOWHERE, None, _portable(error)))


def _portable(error):
    """An exception that the other side can unpack, with where it came from."""
    if not isinstance(error, UserError):
        error.add_note("In a worker process:\n" + traceback.format_exc())
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(f"{first_line(error)}\n" + traceback.format_exc())


if __name__ == "__main__":
    work(socket.socket(fileno=int(sys.argv[1])), *map(int, sys.argv[2:]))
    # At once: Python would stop the thread inside OpenCV, whose code ends the process with a word.
    os._exit(0)
