"""Files that are written whole or not at all, and JSON read through one checked door."""

import contextlib
import ctypes
import errno
import json
import os
import time

from etils import epath

from ppocr_jax.errors import UserError, system_number

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of Linux's renameat2
MOST_JSON = 1 << 28  # bytes; nothing that the program writes as JSON comes near


@contextlib.contextmanager
def replacing(path):
    """A place beside `path` to write to, which takes its name when the block ends without an error.

    Use as `with replacing(path) as temporary: ...`. A file or folder that stood at `path` stays as
    it was until then; what is left of a failed attempt is removed.

    Raises:
        OSError: it cannot be written; names `path`.
    """
    path = epath.Path(path)
    with naming(path):
        if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
            yield path  # /dev/stdout
            return
        _recover(path)
        temporary = path.with_name(path.name + ".tmp")
        _remove(temporary)
        try:
            yield temporary
            settle(temporary, path)
        except BaseException:
            discard(temporary)
            raise


def settle(temporary, path):
    """Gives what was written, a file or a folder, its name, once all of it is on the disk."""
    temporary, path = epath.Path(temporary), epath.Path(path)
    sync(temporary)
    if temporary.is_dir() and path.exists():
        _exchange(temporary, path)
        sync_names(path.parent)
        _remove(temporary)
    else:
        temporary.replace(path)
        sync_names(path.parent)


def discard(path, patience_s=3.0):
    """Removes what a failed attempt has left; threads of a library may still write to a folder."""
    path, end = epath.Path(path), time.monotonic() + patience_s
    while path.exists() and time.monotonic() < end:
        folder = path.is_dir()
        with contextlib.suppress(OSError):
            _remove(path)
        if folder:
            time.sleep(0.1)  # what they write makes the folder anew


@contextlib.contextmanager
def naming(path):
    """What the system refuses in the block becomes an OSError that names a file, `path` if none."""
    try:
        yield
    except OSError as error:
        unnamed = error.filename is None and error.errno is not None
        if unnamed or str(error.filename).startswith(f"{path}.tmp"):
            error.filename = str(path)
        raise
    except UserError:
        raise
    except Exception as error:  # of a library, in words of its own
        number = system_number(error)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def write_text(path, text):
    """Writes a text file in UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode())


def write_bytes(path, data):
    """Writes a file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_json(path, value):
    """Writes JSON with a line per entry, whole or not at all."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def sync(path):
    """Returns when a file, or a folder with all below it, is on the disk and not only on its way.

    Does nothing where there is no such thing as a local disk, in a bucket for example.
    """
    if not os.path.exists(path):
        return
    if os.path.isfile(path):
        _sync(path)
    for folder, _, names in os.walk(path):
        for name in names:
            if os.path.isfile(os.path.join(folder, name)):  # no link into nowhere
                _sync(os.path.join(folder, name))
        _sync(folder)


def sync_names(folder):
    """Returns when the names in a folder are on the disk: a rename is lost with them otherwise."""
    if os.path.isdir(folder):
        _sync(folder)


def _sync(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:  # a file system that has no such call for folders
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def is_at(handle, path):
    """Whether an open handle's file still has the name `path`."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        return False


def read_json(path, kind=dict):
    """What a JSON file holds, a leading byte order mark or not.

    Args:
        path: of the file.
        kind: that the whole must have: a mapping, or another of JSON's types.

    Raises:
        UserError: too large, not UTF-8, no JSON, nested too deeply, or of another kind.
        OSError: it cannot be read at all.
    """
    path = epath.Path(path)
    try:
        size = path.stat().length
        if size > MOST_JSON:
            raise ValueError(f"{size >> 20} MiB are more than any such file has")
        value = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not readable as JSON: {error}") from None
    if not isinstance(value, kind):
        raise UserError(f"{path}: holds {_named(value)}, not {_named(kind())}")
    return value


def _named(value):
    names = {dict: "a mapping", list: "a list", str: "text", bool: "true or false"}
    return names.get(type(value), "nothing" if value is None else "a number")


def _exchange(folder, path):
    """Swaps the names of a new folder and what stands in its place, at once where Linux can."""
    call = getattr(ctypes.CDLL(None), "renameat2", None)
    names = (AT_FDCWD, os.fsencode(folder), AT_FDCWD, os.fsencode(path))
    if call is None or call(*names, RENAME_EXCHANGE) != 0:
        path.rename(_aside(path))
        folder.rename(path)
        _aside(path).rename(folder)


def _recover(path):
    """Takes back what `_exchange` had put aside when its process was killed between two renames."""
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
