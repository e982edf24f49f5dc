"""Writes files atomically, and reads JSON with checks."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import time
from collections.abc import Iterator
from typing import Any

from etils import epath

from ppocr_jax.errors import UserError, system_number

PathLike = str | os.PathLike[str]
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of Linux's renameat2
MOST_JSON = 1 << 28  # bytes; no JSON file that we write comes near


@contextlib.contextmanager
def replacing(path: PathLike) -> Iterator[epath.Path]:
    """Gives a temporary path beside `path`, renamed to `path` if the block ends without an error.

    Use as `with replacing(path) as temporary: ...`. An existing file or folder at `path` stays
    untouched until then; the remains of a failed attempt are removed.

    Raises:
        OSError: it cannot be written; names `path`.
    """
    target = epath.Path(path)
    with naming(target):
        if os.path.exists(target) and not (os.path.isfile(target) or os.path.isdir(target)):
            yield target  # /dev/stdout
            return
        _recover(target)
        temporary = target.with_name(target.name + ".tmp")
        _remove(temporary)
        try:
            yield temporary
            settle(temporary, target)
        except BaseException:
            discard(temporary)
            raise


def settle(temporary: PathLike, path: PathLike) -> None:
    """Syncs a written file or folder to disk and renames it.

    In this order a power cut leaves the old content or the new one, never a part.
    """
    written, target = epath.Path(temporary), epath.Path(path)
    sync(written)
    if written.is_dir() and target.exists():
        _exchange(written, target)
        sync_names(target.parent)
        _remove(written)
    else:
        written.replace(target)
        sync_names(target.parent)


def discard(path: PathLike, patience_s: float = 3.0) -> None:
    """Removes the remains of a failed write, while threads of a library may still write to it."""
    remains, end = epath.Path(path), time.monotonic() + patience_s
    while remains.exists() and time.monotonic() < end:
        folder = remains.is_dir()
        with contextlib.suppress(OSError):
            _remove(remains)
        if folder:
            time.sleep(0.1)  # such threads may create the folder again


@contextlib.contextmanager
def naming(path: PathLike) -> Iterator[None]:
    """Makes every error of the system in the block an OSError with a file name, `path` if none."""
    try:
        yield
    except OSError as error:
        unnamed = error.filename is None and error.errno is not None
        if unnamed or str(error.filename).startswith(f"{path}.tmp"):
            error.filename = str(path)
        raise
    except UserError:
        raise
    except Exception as error:  # a library's own exception around a system error
        number = system_number(error)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def write_text(path: PathLike, text: str) -> None:
    """Writes a UTF-8 text file atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode())


def write_bytes(path: PathLike, data: bytes) -> None:
    """Writes a file atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: PathLike, value: Any) -> None:
    """Writes JSON with a line per entry, atomically."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def sync(path: PathLike) -> None:
    """Flushes a file, or a folder with everything below it, to the disk (fsync).

    Does nothing for paths that are not on a local file system, such as a bucket.
    """
    if not os.path.exists(path):
        return
    if os.path.isfile(path):
        _sync(path)
    for folder, _, names in os.walk(path):
        for name in names:
            if os.path.isfile(os.path.join(folder, name)):  # not a broken link
                _sync(os.path.join(folder, name))
        _sync(folder)


def sync_names(folder: PathLike) -> None:
    """Flushes the entries of a folder to the disk; without it a power cut can undo a rename."""
    if os.path.isdir(folder):
        _sync(folder)


def _sync(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:  # some file systems have no fsync for folders
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def is_at(handle: int, path: PathLike) -> bool:
    """Whether the file of an open descriptor is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        return False


def read_json(path: PathLike, kind: type = dict) -> Any:
    """Reads a JSON file, with or without a byte order mark.

    Args:
        path: of the file.
        kind: the type that the value must have, such as `dict` or `list`.

    Raises:
        UserError: too large, not UTF-8, not JSON, nested too deeply, or of another type.
        OSError: it cannot be read.
    """
    file = epath.Path(path)
    try:
        size = file.stat().length
        if size > MOST_JSON:
            raise ValueError(f"{size >> 20} MiB is larger than any such file")
        value = json.loads(file.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: not readable as JSON: {error}") from None
    if not isinstance(value, kind):
        raise UserError(f"{file}: holds {_named(value)}, not {_named(kind())}")
    return value


def _named(value):
    names = {dict: "a mapping", list: "a list", str: "text", bool: "true or false"}
    return names.get(type(value), "nothing" if value is None else "a number")


def _exchange(folder, path):
    """Swaps a new folder with the old one at `path`, in one step where Linux can do that."""
    call = getattr(ctypes.CDLL(None), "renameat2", None)
    names = (AT_FDCWD, os.fsencode(folder), AT_FDCWD, os.fsencode(path))
    if call is None or call(*names, RENAME_EXCHANGE) != 0:
        path.rename(_aside(path))
        folder.rename(path)
        _aside(path).rename(folder)


def _recover(path):
    """Undoes an `_exchange` whose process was killed between two renames."""
    if _aside(path).exists():
        if path.exists():
            _remove(_aside(path))
        else:
            _aside(path).rename(path)


def _aside(path):
    return path.with_name(path.name + ".old")


def _remove(path):
    if path.is_dir():
        path.rmtree()
    elif path.exists():
        path.unlink()
