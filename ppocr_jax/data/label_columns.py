"""Blocks of labels -> the flat arrays of an index, in memory or in files without a name."""

import io
import tempfile
import zlib
from typing import NamedTuple

import numpy as np

from ppocr_jax.data.label_index import COLUMNS, LabelIndex, Words, encode


class Block(NamedTuple):
    """Some images with their labels.

    Attributes:
        paths: of the images.
        lines: int `[S]`, lines of the label file; 0 where a file holds one image.
        polygons: int `[S]`, polygons of each image.
        counts: int `[P]`, points of each polygon.
        ignore: bool `[P]`.
        points: float32 `[N, 2]`.
    """

    paths: list[str]
    lines: np.ndarray
    polygons: np.ndarray
    counts: np.ndarray
    ignore: np.ndarray
    points: np.ndarray


class Columns:
    """Takes blocks in their order.

    Args:
        folder: where files without a name may lie; "" to keep all in memory.

    Attributes:
        files: `{name: open file}`, see `COLUMNS`.
        sums: `{name: CRC-32}`.
    """

    def __init__(self, folder=""):
        make = io.BytesIO if not folder else lambda: tempfile.TemporaryFile(dir=folder)
        self.files = {name: make() for name in COLUMNS}
        self.sums = dict.fromkeys(COLUMNS, 0)
        self._last = np.zeros((1, 3), np.int64)
        self._learned = self._ignored = self._textless = 0
        self._sources = self._length = 0
        self._put("rows", self._last)
        self._put("source_rows", np.zeros(1, np.int64))
        self._source_end = 0

    def add_source(self, path):
        """A label file, whose images follow."""
        name = encode(str(path))
        self._sources += 1
        self._source_end += len(name)
        self._put("sources", np.frombuffer(name, np.uint8))
        self._put("source_rows", np.array([self._source_end], np.int64))

    def add(self, block):
        """A `Block` of images of the last source."""
        names = [encode(path) for path in block.paths]
        counts = np.asarray(block.counts, np.int64)
        polygons = np.asarray(block.polygons, np.int64)
        edges = np.concatenate([[0], np.cumsum(polygons)])
        points = np.concatenate([[0], np.cumsum(counts)])[edges]
        sizes = np.stack([polygons, np.diff(points), [len(name) for name in names]], 1)
        rows = self._last + np.cumsum(sizes.astype(np.int64), 0)
        self._last = rows[-1:] if len(rows) else self._last
        places = np.stack([np.full(len(names), self._sources - 1), block.lines], 1)
        for name, values in (
            ("rows", rows),
            ("places", places),
            ("counts", counts),
            ("ignore", block.ignore),
            ("points", block.points),
            ("paths", np.frombuffer(b"".join(names), np.uint8)),
        ):
            self._put(name, values)
        self._length += len(names)
        ignored = int(np.count_nonzero(block.ignore))
        self._ignored += ignored
        self._learned += len(counts) - ignored
        self._textless += int(np.count_nonzero(polygons == 0))

    def _put(self, name, values):
        data = np.ascontiguousarray(values, COLUMNS[name][0]).tobytes()
        self.sums[name] = zlib.crc32(data, self.sums[name])
        self.files[name].write(data)

    def __len__(self):
        return self._length

    @property
    def words(self):
        """`Words` of all images so far."""
        return Words(self._learned, self._ignored, self._textless)

    def in_memory(self):
        """The `LabelIndex` of what was added, which stays in memory."""
        columns = {}
        for name, (kind, width) in COLUMNS.items():
            self.files[name].seek(0)
            values = np.frombuffer(bytearray(self.files[name].read()), kind)
            columns[name] = values if width == 1 else values.reshape(-1, width)
            self.files[name].close()
        return LabelIndex(columns, self.words)
