"""Collects blocks of labels into the flat arrays of a label index."""

from __future__ import annotations

import io
import os
import tempfile
import zlib
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np

from ppocr_jax.data.label_index import COLUMNS, LabelIndex, Words, encode

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, Int
    from numpy.typing import ArrayLike


class Block(NamedTuple):
    """Some images with their labels, as flat arrays.

    Attributes:
        paths: of the images.
        lines: int `[S]`, lines of the label file; 0 if the file labels a single image.
        polygons: int `[S]`, number of polygons of each image.
        counts: int `[P]`, number of points of each polygon.
        ignore: bool `[P]`.
        points: float32 `[N, 2]`, (x, y) in pixels, all polygons one after the other.
    """

    paths: list[str]
    lines: Int[np.ndarray, " S"]
    polygons: Int[np.ndarray, " S"]
    counts: Int[np.ndarray, " P"]
    ignore: Bool[np.ndarray, " P"]
    points: Float32[np.ndarray, "N 2"]


class Columns:
    """Collects blocks, in order.

    Args:
        folder: folder for anonymous temporary files; "" to keep everything in memory.

    Attributes:
        files: `{name: open file}` for each of `COLUMNS`.
        sums: `{name: CRC-32}`.
    """

    def __init__(self, folder: str | os.PathLike[str] = "") -> None:
        self.files: dict[str, IO[bytes]] = {
            name: tempfile.TemporaryFile(dir=folder) if folder else io.BytesIO() for name in COLUMNS
        }
        self.sums = dict.fromkeys(COLUMNS, 0)
        self._last = np.zeros((1, 3), np.int64)
        self._learned = self._ignored = self._textless = 0
        self._sources = self._length = 0
        self._put("rows", self._last)
        self._put("source_rows", np.zeros(1, np.int64))
        self._source_end = 0

    def add_source(self, path: str | os.PathLike[str]) -> None:
        """Begins a label file; the images of the next blocks belong to it."""
        name = encode(str(path))
        self._sources += 1
        self._source_end += len(name)
        self._put("sources", np.frombuffer(name, np.uint8))
        self._put("source_rows", np.array([self._source_end], np.int64))

    def add(self, block: Block) -> None:
        """Adds images of the current label file."""
        names = [encode(path) for path in block.paths]
        # --- where each image's polygons, points and path begin in the arrays of the whole index
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
        # --- totals
        self._length += len(names)
        ignored = int(np.count_nonzero(block.ignore))
        self._ignored += ignored
        self._learned += len(counts) - ignored
        self._textless += int(np.count_nonzero(polygons == 0))

    def _put(self, name: str, values: ArrayLike) -> None:
        """Appends values to a column."""
        data = np.ascontiguousarray(values, COLUMNS[name][0]).tobytes()
        self.sums[name] = zlib.crc32(data, self.sums[name])
        self.files[name].write(data)

    def __len__(self) -> int:
        return self._length

    @property
    def words(self) -> Words:
        """Word counts of all images so far."""
        return Words(self._learned, self._ignored, self._textless)

    def in_memory(self) -> LabelIndex:
        """The index of everything that was added, in memory. Closes the files."""
        columns = {}
        for name, (kind, width) in COLUMNS.items():
            self.files[name].seek(0)
            values = np.frombuffer(bytearray(self.files[name].read()), kind)
            columns[name] = values if width == 1 else values.reshape(-1, width)
            self.files[name].close()
        return LabelIndex(columns, self.words)
