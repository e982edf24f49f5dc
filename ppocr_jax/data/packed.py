"""Reads images from shards: ArrayRecord files in which a record is an image file with its labels.

An image in a shard has a path like any other: `train-00000.array_record/17/img_61.jpg` is record
17. A record consists of the length of a JSON text (4 bytes, little-endian), that text, with `name`
and `labels`, and the bytes of the image file.
"""

from __future__ import annotations

import functools
import json
import os
import re
import struct
from typing import Any, NamedTuple

from ppocr_jax.errors import UserError, first_line

ENDING = ".array_record"
PATH = re.compile(rf"(.*{re.escape(ENDING)})/(\d+)/(.+)", re.DOTALL)
HEAD = struct.Struct("<I")
OPTIONS = "readahead_buffer_size:0,max_parallelism:0"  # records are read in random order
MOST_OPEN = 256  # shards open at a time


class Place(NamedTuple):
    """An image in a shard.

    Attributes:
        shard: path of the shard.
        number: of the record, from 0.
        name: of the image file.
    """

    shard: str
    number: int
    name: str


def find_place(path: str | os.PathLike[str]) -> Place | None:
    """The image in a shard that a path refers to; None for an ordinary path."""
    text = os.fspath(path)
    if ENDING not in text:
        return None
    match = PATH.fullmatch(text)
    if match is None or os.path.isdir(match[1]):
        return None
    return Place(match[1], int(match[2]), match[3])


def holds(place: Place) -> bool:
    """Whether the shard exists and has such a record."""
    try:
        return place.number < count_records(place.shard)
    except (UserError, OSError):
        return False


def count_records(shard: str | os.PathLike[str]) -> int:
    """Number of records. Raises UserError or OSError: it is not a shard, or does not exist."""
    return _open(os.fspath(shard), *_stamp(shard)).num_records()


def read_picture(place: Place) -> bytes:
    """The bytes of an image file. Raises UserError: missing or damaged; names the record."""
    why: str | None
    try:
        reader = _open(place.shard, *_stamp(place.shard))
        (record,) = reader.read([place.number])
        return split_record(record)[1]
    except OSError as error:
        why = error.strerror
    except (RuntimeError, ValueError) as error:
        why = first_line(error).partition(": ")[2]
    raise UserError(f"{place.shard}: record {place.number} ({place.name}): {why}") from None


def make_record(name: str, labels: Any, picture: bytes) -> bytes:
    """The bytes of a record.

    Args:
        name: of the image file.
        labels: anything JSON can hold.
        picture: content of the image file.
    """
    text = json.dumps({"name": name, "labels": labels}, ensure_ascii=False).encode()
    return HEAD.pack(len(text)) + text + picture


def split_record(record: bytes) -> tuple[dict[str, Any], bytes]:
    """`({"name", "labels"}, bytes of the image file)`. Raises ValueError: not such a record."""
    if len(record) >= HEAD.size:
        end = HEAD.size + HEAD.unpack_from(record)[0]
        if end <= len(record):
            return json.loads(record[HEAD.size : end]), record[end:]
    raise ValueError("not a record of an image")


def _stamp(shard: str | os.PathLike[str]) -> tuple[int, int, int]:
    """Distinguishes a shard from one that has replaced it. Raises OSError: it does not exist."""
    status = os.stat(shard)
    return status.st_ino, status.st_size, status.st_mtime_ns


@functools.lru_cache(MOST_OPEN)
def _open(shard: str, *_: int) -> Any:
    """A reader that threads may share; the stamp is only part of the cache's key."""
    from array_record.python import array_record_module  # only here, since it loads a library

    reader = array_record_module.ArrayRecordReader(shard, OPTIONS)
    if not reader.ok():
        raise UserError(f"{shard}: not an ArrayRecord shard, or cut short")
    return reader
