"""File locks: only one process at a time may write to a folder or an output.

These are POSIX locks. The kernel releases them when the process ends in any way, so a lock file
left behind locks nothing. Forked children do not inherit them. Closing any descriptor of the file
would release the lock, so the holder opens it exactly once.
"""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager

from ppocr_jax.errors import UserError
from ppocr_jax.files import is_at

HELD = (errno.EACCES, errno.EAGAIN)
WITHOUT = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL)  # a file system without locks
NAME = ".lock"
PathLike = str | os.PathLike[str]
_OWN: set[str] = set()  # held by this process, which the kernel would grant a second time


def hold_folder(folder: PathLike) -> AbstractContextManager[None]:
    """Locks an existing folder until the block ends, see `hold`."""
    return hold(folder, pathlib.Path(folder, NAME))


def hold_output(path: PathLike) -> AbstractContextManager[None]:
    """Locks a file or folder to be written, see `hold`; creates its parent folder.

    Anything else, such as /dev/stdout, needs no lock.
    """
    path = pathlib.Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        return contextlib.nullcontext()
    path.absolute().parent.mkdir(parents=True, exist_ok=True)
    return hold(path, path.with_name(path.name + NAME))


@contextlib.contextmanager
def hold(subject: PathLike, path: PathLike) -> Iterator[None]:
    """Holds a lock file until the block ends.

    Args:
        subject: what is locked, for messages. A path in a bucket is not locked.
        path: of the lock file, which is created and removed again.

    Raises:
        UserError: another process holds the lock; the message says which one.
        OSError: the file cannot be created.
    """
    if "://" in str(subject):
        yield
        return
    path = os.path.realpath(path)
    if path in _OWN:
        raise UserError(f"{subject}: this process is writing there already")
    handle = _take(subject, path)
    _OWN.add(path)
    try:
        _sign(handle, path)
        yield
    finally:
        _OWN.discard(path)
        if is_at(handle, path):  # the folder may have been moved
            os.unlink(path)
        os.close(handle)


def _take(subject, path):
    """Opens and locks the lock file; only opens it if the file system has no locks."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in WITHOUT:
                _warn(
                    f"{path}: this file system has no locks ({error.strerror}): do not start two "
                    "runs here"
                )
                return handle
            holder = _describe(handle)
            os.close(handle)
            if error.errno not in HELD:
                raise
            raise UserError(
                f"{subject}: another process is writing there ({holder}); wait until it ends, stop "
                "it, or use another folder"
            ) from None
        if is_at(handle, path):
            return handle
        os.close(handle)  # its holder has just removed it: try again with a new file


def _sign(handle, path):
    """Writes into the lock file who holds it. A full disk is reported elsewhere."""
    host, who = socket.gethostname(), _read(handle)
    if who.get("host", host) != host:
        _warn(
            f"{path} was left by {_describe(handle)} and is taken over; if your hosts do not see "
            "each other's locks, make sure that this process has ended"
        )
    who = {"pid": os.getpid(), "host": host, "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(who).encode(), 0)


def _describe(handle):
    """Describes the holder of the lock."""
    if not _read(handle):
        time.sleep(0.1)  # the holder may be about to write it
    pid, host, since = (_read(handle).get(key, "unknown") for key in ("pid", "host", "since"))
    return f"pid {pid} on {host} since {since}"


def _read(handle):
    try:
        value = json.loads(os.pread(handle, 10_000, 0))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _warn(line):
    print(f"warning: {line}", file=sys.stderr)
