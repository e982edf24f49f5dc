"""Files that are written whole or not at all."""

import contextlib
import json
import os

from etils import epath


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
    if temporary.is_dir():
        _remove(path)  # a folder is not replaced by a rename
    temporary.replace(path)


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


def _remove(path):
    if path.is_dir():
        path.rmtree()
    elif path.exists():
        path.unlink()
