"""Batches made by processes of their own, which end with this one whatever ends it.

A batch comes through a socket without a name. When this process is gone, killed or not, its workers
read the end of that socket and end too, and there is nothing that could stay in shared memory:
Grain's own worker processes pass batches in named segments, which outlive a process that is killed.
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

from ppocr_jax.errors import UserError, first_line

HEAD = struct.Struct("<QQ")  # bytes of a message's pickle, and how many buffers come after it
SIZE = struct.Struct("<Q")  # bytes of a buffer
# Ctrl-C and what launchers send reach the workers too: what it means is up to this process.
LEFT_TO_THE_PARENT = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}


class Workers:
    """Iterator over batches in their order: number n is made by worker n modulo their count."""

    def __init__(self, make, total, count, ahead):
        """Starts the workers.

        Args:
            make: number of a batch -> batch; goes to the workers by pickle.
            total: batches to give.
            count: worker processes.
            ahead: finished batches that may wait in each of them.
        """
        job = pickle.dumps(make)
        self._workers = [_Worker((job, range(n, total, count), ahead)) for n in range(count)]
        self._received, self._total = queue.Queue(1), total
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __iter__(self):
        return self

    def __next__(self):
        """The next batch. Raises what its making raised; UserError where a worker has ended."""
        batch, error = self._received.get() if self._workers else (None, StopIteration())
        if error is not None:
            self.close()
            raise error
        return batch

    def _read(self):
        """In a thread: receives one batch while the one before it is used."""
        workers, error = self._workers, None
        for number in range(self._total):
            batch, error = workers[number % len(workers)].receive()
            self._received.put((batch, error))
            if error is not None:
                return
        self._received.put((None, StopIteration()))

    def close(self):
        """Ends the workers; nothing the second time."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.end()
        while self._reader.is_alive():  # it may be about to hand something over
            with contextlib.suppress(queue.Empty):
                self._received.get(timeout=0.02)


class _Worker:
    """A started process and this side of the socket to it."""

    def __init__(self, job):
        self._socket, theirs = socket.socketpair()
        self._stream = self._socket.makefile("rb")
        path = os.pathsep.join(entry for entry in sys.path if entry)
        old = signal.pthread_sigmask(signal.SIG_BLOCK, LEFT_TO_THE_PARENT)  # a child inherits this
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, str(theirs.fileno())],
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)
            theirs.close()
        # In a thread: the labels of a large split are more than a socket takes unread.
        threading.Thread(target=self._give, args=(job,), daemon=True).start()

    def _give(self, job):
        with contextlib.suppress(OSError):  # the process has ended, which `receive` says
            send(self._socket, job)

    def receive(self):
        """`(batch, None)`, or `(None, why there is none)`."""
        try:
            return receive(self._stream)
        except (EOFError, OSError):
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


def send(connection, value):
    """Sends a value over a socket, its arrays as they lie in memory."""
    buffers = []
    text = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    parts = [buffer.raw() for buffer in buffers]
    sizes = b"".join(SIZE.pack(part.nbytes) for part in parts)
    for part in (HEAD.pack(len(text), len(parts)) + sizes, text, *parts):
        connection.sendall(part)


def receive(stream):
    """The next value from the stream of a socket. Raises EOFError where there comes no more."""
    length, count = HEAD.unpack(_read(stream, HEAD.size))
    sizes = [size for (size,) in SIZE.iter_unpack(_read(stream, SIZE.size * count))]
    text = _read(stream, length)
    return pickle.loads(text, buffers=[_read(stream, size) for size in sizes])


def _read(stream, size):
    buffer = bytearray(size)
    if stream.readinto(buffer) != size:
        raise EOFError
    return buffer


def work(connection):
    """All that a worker does: takes its job, makes its batches, ends when nobody wants them."""
    stream = connection.makefile("rb")
    try:
        job, numbers, ahead = receive(stream)
    except (EOFError, OSError):
        return
    # Before the job is unpacked, since that imports all that it needs.
    threading.Thread(target=_end_with, args=(stream,), daemon=True).start()
    made = queue.Queue(ahead)
    threading.Thread(target=_make, args=(job, numbers, made), daemon=True).start()
    with contextlib.suppress(OSError):
        for _ in numbers:
            batch, error = made.get()
            send(connection, (batch, error))
            if error is not None:
                return


def _end_with(stream):
    """Ends this process when the other side of its socket is closed, as an end closes it."""
    with contextlib.suppress(OSError):
        stream.read(1)
    os._exit(0)


def _make(job, numbers, made):
    """In a thread: makes batches while earlier ones are sent."""
    try:
        make = pickle.loads(job)
        for number in numbers:
            made.put((make(number), None))
    except Exception as error:
        made.put((None, _portable(error)))


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
    work(socket.socket(fileno=int(sys.argv[1])))
    # At once: Python would stop the thread inside OpenCV, whose code ends the process with a word.
    os._exit(0)
