"""Files that are written whole or not at all, and JSON read through one checked door."""

import contextlib
import errno
import json
import os

from etils import epath

from ppocr_jax.errors import UserError

MOST_JSON = 1 << 28  # bytes; nothing that the program writes as JSON comes near


@contextlib.contextmanager
def replacing(path):
    """A place beside `path` to write to, which takes its name when the block ends without an error.

    Use as `with replacing(path) as temporary: ...`. A file or folder that stood at `path` stays as
    it was until then; what is left of a failed attempt is removed.
    """
    path = epath.Path(path)
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):  # /dev/stdout
        yield path
        return
    temporary = path.with_name(path.name + ".tmp")
    _remove(temporary)
    try:
        yield temporary
    except BaseException:
        _remove(temporary)
        raise
    sync(temporary)
    if temporary.is_dir():
        _remove(path)  # a folder is not replaced by a rename
    temporary.replace(path)
    sync_names(path.parent)


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


def _remove(path):
    if path.is_dir():
        path.rmtree()
    elif path.exists():
        path.unlink()
