"""One writer at a time: a folder or an output that another process writes to is refused.

The kernel holds the lock and frees it when the process ends, however that is, so a file that is
left behind locks nothing. It is one of POSIX's: children that a process forks do not inherit it.
Closing any handle of such a file would free it as well, so its holder has a single one.
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

from ppocr_jax.errors import UserError
from ppocr_jax.files import is_at

HELD = (errno.EACCES, errno.EAGAIN)
WITHOUT = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL)  # a file system without locks
NAME = ".lock"
_OWN: set[str] = set()  # held by this process, which the kernel would let in again


def hold_folder(folder):
    """As `hold`, for a folder that exists: nobody else writes in it until the block ends."""
    return hold(folder, pathlib.Path(folder, NAME))


def hold_output(path):
    """As `hold`, for a file or folder that is to be written; makes the folder that it is to be in.

    What is neither, /dev/stdout for example, needs no lock.
    """
    path = pathlib.Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        return contextlib.nullcontext()
    path.absolute().parent.mkdir(parents=True, exist_ok=True)
    return hold(path, path.with_name(path.name + NAME))


@contextlib.contextmanager
def hold(subject, path):
    """Holds the lock file `path` until the block ends; says who does if it is another process.

    Args:
        subject: what is locked, for messages.
        path: of the lock file; it is made, and removed again. Nothing happens in a bucket.

    Raises:
        UserError: another process holds it.
        OSError: no file can be made there.
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
    """An open handle of the lock file, locked; not locked where the file system cannot."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in WITHOUT:
                _warn(f"{path}: no locks here ({error.strerror}): two runs would not notice")
                return handle
            holder = _describe(handle)
            os.close(handle)
            if error.errno not in HELD:
                raise
            raise UserError(
                f"{subject}: another process is writing there ({holder}); wait for its end, stop "
                "it, or name another place"
            ) from None
        if is_at(handle, path):
            return handle
        os.close(handle)  # who held it has just removed it: the next one makes its own


def _sign(handle, path):
    """Says in the file who holds it. A full disk, which keeps it from that, is named elsewhere."""
    host, who = socket.gethostname(), _read(handle)
    if who.get("host", host) != host:
        _warn(
            f"{path} was left by {_describe(handle)} and is taken over; make sure that this "
            "process has ended where hosts do not see each other's locks"
        )
    who = {"pid": os.getpid(), "host": host, "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(who).encode(), 0)


def _describe(handle):
    """Who holds the lock, in words."""
    if not _read(handle):
        time.sleep(0.1)  # it may have come a moment ago
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
