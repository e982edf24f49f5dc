"""An index of labels in a file: written with checksums, checked when it is opened, read by place.

It is read and not mapped: pages of a mapped file count as memory of the process that touches them,
64 kB for every image drawn, and a file that is cut short meanwhile would end the process with a bus
error. The system keeps what is read in its own cache, once for all processes.
"""

import json
import os
import shutil
import struct
import zlib

import numpy as np

from ppocr_jax.data.label_index import COLUMNS, LabelIndex, Words
from ppocr_jax.errors import UserError

MAGIC = b"ppocr_jax labels 1\n"
HEAD = struct.Struct("<QI")  # bytes of the description that follows, and its CRC-32
SMALL = 1 << 24  # bytes: an index of no more is held in memory, which is faster
CHUNK = 1 << 22


class Damaged(ValueError):
    """A file that is no index, another one, or a broken one. Its text says which."""


class StoredColumn:
    """An array in a file, of which slices can be taken."""

    def __init__(self, file, kind, width, offset, length):
        self._file, self._kind, self._width = file, np.dtype(kind), width
        self._offset, self._length = offset, length

    def __len__(self):
        return self._length

    def __getitem__(self, part):
        first, last, _ = part.indices(self._length)
        size = self._kind.itemsize * self._width
        count = max(0, last - first)
        data = self._file.read(self._offset + first * size, count * size)
        values = np.frombuffer(data, self._kind)
        return values if self._width == 1 else values.reshape(-1, self._width)


class StoredFile:
    """A file that is open for reading; another process that gets it opens it anew."""

    def __init__(self, path, key):
        self._path, self._key = path, key
        self._file = open(path, "rb", buffering=0)

    def __reduce__(self):
        return _reopen, (self._path, self._key)

    def read(self, offset, size):
        """A bytearray of this place. Safe in threads. Raises UserError: it is not there."""
        data = bytearray(size)
        try:
            got = os.preadv(self._file.fileno(), [data], offset) if size else 0
        except OSError as error:
            raise UserError(
                f"{self._path}: {error.strerror}: the index of labels is lost"
            ) from None
        if got != size:
            raise UserError(
                f"{self._path}: the index of labels was cut short while it was in use: run the "
                "same command again, which builds it anew"
            )
        return data

    def size(self):
        return os.fstat(self._file.fileno()).st_size


def _reopen(path, key):
    """In a worker process: the file that the first process has checked."""
    try:
        file = StoredFile(path, key)
        _read_head(file, key)
    except (OSError, Damaged) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(
            f"{path}: the index of labels has gone while it was in use ({why}): run the same "
            "command again, which builds it anew"
        ) from None
    return file


def write_index(path, key, columns, facts):
    """Writes an index.

    Args:
        path: of the file.
        key: of what it was made of, see `label_store`.
        columns: `label_columns.Columns`.
        facts: of JSON's types, which `open_index` gives back.
    """
    sizes = {name: file.tell() for name, file in columns.files.items()}
    entries, offset = {}, 0
    for name, size in sizes.items():
        entries[name] = [offset, size, columns.sums[name]]
        offset += -(-size // 8) * 8
    head = {"key": key, "columns": entries, "words": columns.words, "facts": facts}
    text = json.dumps(head).encode()
    with open(path, "wb") as file:
        file.write(MAGIC + HEAD.pack(len(text), zlib.crc32(text)) + text)
        for name, column in columns.files.items():
            column.seek(0)
            shutil.copyfileobj(column, file, CHUNK)
            file.write(bytes(-sizes[name] % 8))


def open_index(path, key):
    """`(LabelIndex, facts)` of a file, all of whose bytes have been checked.

    Raises:
        Damaged: it is not what was written for this key.
        OSError: it cannot be read.
    """
    file = StoredFile(path, key)
    head, start = _read_head(file, key)
    columns, end = {}, start
    small = file.size() <= SMALL
    for name, (kind, width) in COLUMNS.items():
        offset, size, checksum = head["columns"][name]
        found = 0
        for place in range(0, size, CHUNK):
            found = zlib.crc32(_read(file, start + offset + place, min(CHUNK, size - place)), found)
        if found != checksum:
            raise Damaged(f"a wrong checksum of its {name}")
        length = size // (np.dtype(kind).itemsize * width)
        column = StoredColumn(file, kind, width, start + offset, length)
        columns[name] = column[:] if small else column
        end = max(end, start + offset + size)
    return LabelIndex(columns, Words(*head["words"])), head["facts"]


def _read_head(file, key):
    """`(description, where the arrays begin)`. Raises Damaged."""
    place = len(MAGIC) + HEAD.size
    if file.size() < place or _read(file, 0, len(MAGIC)) != MAGIC:
        raise Damaged("is no index of labels")
    length, checksum = HEAD.unpack(_read(file, len(MAGIC), HEAD.size))
    if length > file.size() - place:
        raise Damaged("cut short")
    text = _read(file, place, length)
    if zlib.crc32(text) != checksum:
        raise Damaged("a wrong checksum of its description")
    head = json.loads(text)
    if head["key"] != key:
        raise Damaged("was made of other labels")
    return head, place + length


def _read(file, offset, size):
    try:
        return file.read(offset, size)
    except UserError:
        raise Damaged("cut short") from None
