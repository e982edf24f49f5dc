"""Pictures in shards: files of ArrayRecord, each record a picture's file with its labels.

A picture of a shard has a path like any other: `train-00000.array_record/17/img_61.jpg` is record
17. A record is the length of a JSON text (4 bytes, little end first), this text, with `name` and
`labels`, and the bytes of the picture's file.
"""

import functools
import json
import os
import re
import struct
from typing import NamedTuple

from ppocr_jax.errors import UserError, first_line

ENDING = ".array_record"
PATH = re.compile(rf"(.*{re.escape(ENDING)})/(\d+)/(.+)", re.DOTALL)
HEAD = struct.Struct("<I")
OPTIONS = "readahead_buffer_size:0,max_parallelism:0"  # for records in any order
MOST_OPEN = 256  # shards


class Place(NamedTuple):
    """Which record of which shard; name: of the picture's file."""

    shard: str
    number: int
    name: str


def find_place(path):
    """The `Place` that a path names; None for a path of a file."""
    text = os.fspath(path)
    if ENDING not in text:
        return None
    match = PATH.fullmatch(text)
    if match is None or os.path.isdir(match[1]):
        return None
    return Place(match[1], int(match[2]), match[3])


def holds(place):
    """Whether a shard is there and has such a record."""
    try:
        return place.number < count_records(place.shard)
    except (UserError, OSError):
        return False


def count_records(shard):
    """Records of a shard. Raises UserError or OSError: it is none, or not there."""
    return _open(os.fspath(shard), *_stamp(shard)).num_records()


def read_picture(place):
    """The bytes of a picture's file. Raises UserError: damaged, or not there; names the record."""
    try:
        reader = _open(place.shard, *_stamp(place.shard))
        (record,) = reader.read([place.number])
        return split_record(record)[1]
    except OSError as error:
        why = error.strerror
    except (RuntimeError, ValueError) as error:
        why = first_line(error).partition(": ")[2]
    raise UserError(f"{place.shard}: record {place.number} ({place.name}): {why}") from None


def make_record(name, labels, picture):
    """The bytes of a record: the name of a file, its labels as JSON's types, its content."""
    text = json.dumps({"name": name, "labels": labels}, ensure_ascii=False).encode()
    return HEAD.pack(len(text)) + text + picture


def split_record(record):
    """`({"name", "labels"}, bytes of the picture's file)`. Raises ValueError: it is no such."""
    if len(record) >= HEAD.size:
        end = HEAD.size + HEAD.unpack_from(record)[0]
        if end <= len(record):
            return json.loads(record[HEAD.size : end]), record[end:]
    raise ValueError("not a record of a picture")


def _stamp(shard):
    """What tells a shard from one that took its place. Raises OSError: it is not there."""
    status = os.stat(shard)
    return status.st_ino, status.st_size, status.st_mtime_ns


@functools.lru_cache(MOST_OPEN)
def _open(shard, *_):
    """A reader, which threads may share."""
    from array_record.python import array_record_module  # loads a library, for shards alone

    reader = array_record_module.ArrayRecordReader(shard, OPTIONS)
    if not reader.ok():
        raise UserError(f"{shard}: no shard of ArrayRecord, or one that is cut short")
    return reader
