"""A label index in a file: written with checksums, verified when opened, read piece by piece.

The file is read, not memory-mapped. Pages of a mapped file count as memory of the process that
touches them, 64 kB for every image used, and a file that is truncated meanwhile would end the
process with a bus error. The system caches what is read, once for all processes.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ppocr_jax.data.label_index import COLUMNS, LabelIndex, Words
from ppocr_jax.errors import UserError

if TYPE_CHECKING:
    from ppocr_jax.data.label_columns import Columns

MAGIC = b"ppocr_jax labels 1\n"
HEAD = struct.Struct("<QI")  # bytes of the JSON description that follows, and its CRC-32
SMALL = 1 << 24  # bytes; an index up to this size is held in memory, which is faster
CHUNK = 1 << 22  # bytes copied or checked at a time


class Damaged(ValueError):
    """The file is not an index, belongs to other labels, or is damaged. Its text says which."""


class StoredColumn:
    """An array in a file that can be sliced.

    Args:
        file: the open file.
        kind: dtype of its values.
        width: values per row; rows of width 1 give `[n]`, others `[n, width]`.
        offset: where the array begins in the file, bytes.
        length: number of rows.
    """

    def __init__(self, file: StoredFile, kind: str, width: int, offset: int, length: int) -> None:
        self._file, self._kind, self._width = file, np.dtype(kind), width
        self._offset, self._length = offset, length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> np.ndarray:
        first, last, _ = part.indices(self._length)
        size = self._kind.itemsize * self._width
        count = max(0, last - first)
        data = self._file.read(self._offset + first * size, count * size)
        values = np.frombuffer(data, self._kind)
        return values if self._width == 1 else values.reshape(-1, self._width)


class StoredFile:
    """A file open for reading. Unpickling it in another process opens it again there.

    Args:
        path: the file.
        key: hash of the labels it was made from, see `label_store`.
    """

    def __init__(self, path: str | os.PathLike[str], key: str) -> None:
        self._path, self._key = path, key
        self._file = open(path, "rb", buffering=0)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self._path, self._key)

    def read(self, offset: int, size: int) -> bytearray:
        """`size` bytes from `offset`; thread-safe. Raises UserError: they cannot be read."""
        data = bytearray(size)
        try:
            # `preadv` needs no shared file position, so threads do not disturb each other.
            got = os.preadv(self._file.fileno(), [data], offset) if size else 0
        except OSError as error:
            raise UserError(
                f"{self._path}: {error.strerror}: the label index can no longer be read"
            ) from None
        if got != size:
            raise UserError(
                f"{self._path}: the label index was cut short while it was in use: run the same "
                "command again, which rebuilds it"
            )
        return data

    def size(self) -> int:
        """Bytes of the file."""
        return os.fstat(self._file.fileno()).st_size


def _reopen(path: str | os.PathLike[str], key: str) -> StoredFile:
    """Opens, in a worker process, the file that the main process has verified."""
    try:
        file = StoredFile(path, key)
        _read_head(file, key)
    except (OSError, Damaged) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(
            f"{path}: the label index disappeared while it was in use ({why}): run the same "
            "command again, which rebuilds it"
        ) from None
    return file


def write_index(
    path: str | os.PathLike[str], key: str, columns: Columns, facts: Mapping[str, Any]
) -> None:
    """Writes an index.

    Args:
        path: the file.
        key: hash of the labels it is made from, see `label_store`.
        columns: all labels.
        facts: anything JSON can hold; `open_index` returns it.
    """
    sizes = {name: file.tell() for name, file in columns.files.items()}
    entries, offset = {}, 0
    for name, size in sizes.items():
        entries[name] = [offset, size, columns.sums[name]]
        offset += -(-size // 8) * 8  # every array begins at a multiple of 8 bytes
    head = {"key": key, "columns": entries, "words": columns.words, "facts": facts}
    text = json.dumps(head).encode()
    with open(path, "wb") as file:
        file.write(MAGIC + HEAD.pack(len(text), zlib.crc32(text)) + text)
        for name, column in columns.files.items():
            column.seek(0)
            shutil.copyfileobj(column, file, CHUNK)
            file.write(bytes(-sizes[name] % 8))


def open_index(path: str | os.PathLike[str], key: str) -> tuple[LabelIndex, dict[str, Any]]:
    """`(index, facts)` of a file, after all its bytes have been verified.

    Raises:
        Damaged: it is not what `write_index` wrote for this key.
        OSError: it cannot be read.
    """
    file = StoredFile(path, key)
    head, start = _read_head(file, key)
    columns: dict[str, np.ndarray | StoredColumn] = {}
    end = start
    small = file.size() <= SMALL
    for name, (kind, width) in COLUMNS.items():
        offset, size, checksum = head["columns"][name]
        found = 0
        for place in range(0, size, CHUNK):
            found = zlib.crc32(_read(file, start + offset + place, min(CHUNK, size - place)), found)
        if found != checksum:
            raise Damaged(f"wrong checksum of {name}")
        length = size // (np.dtype(kind).itemsize * width)
        column = StoredColumn(file, kind, width, start + offset, length)
        columns[name] = column[:] if small else column
        end = max(end, start + offset + size)
    return LabelIndex(columns, Words(*head["words"])), head["facts"]


def _read_head(file: StoredFile, key: str) -> tuple[dict[str, Any], int]:
    """`(description, offset of the arrays)`. Raises Damaged."""
    place = len(MAGIC) + HEAD.size
    if file.size() < place or _read(file, 0, len(MAGIC)) != MAGIC:
        raise Damaged("not a label index")
    length, checksum = HEAD.unpack(_read(file, len(MAGIC), HEAD.size))
    if length > file.size() - place:
        raise Damaged("cut short")
    text = _read(file, place, length)
    if zlib.crc32(text) != checksum:
        raise Damaged("wrong checksum of the description")
    head = json.loads(text)
    if head["key"] != key:
        raise Damaged("made from other labels")
    return head, place + length


def _read(file: StoredFile, offset: int, size: int) -> bytearray:
    """Bytes of a file that is still being verified. Raises Damaged: it is too short."""
    try:
        return file.read(offset, size)
    except UserError:
        raise Damaged("cut short") from None
