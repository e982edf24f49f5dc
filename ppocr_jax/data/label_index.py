"""The labels of a split as flat arrays, which make the object of one image when it is asked for.

A million images have twelve million words: as objects they take 15 GB in every process, as arrays
half a GB that nobody holds who reads them from a file (see `label_file`).
"""

import bisect
import collections.abc
import itertools
import operator
from typing import NamedTuple

import numpy as np

from ppocr_jax.data.sample import Sample

# Of S images with P polygons of N points from K label files: type and width of each array.
COLUMNS = {
    "rows": ("<i8", 3),  # [S + 1, 3], where an image's polygons, points and path begin
    "places": ("<i4", 2),  # [S, 2], which label file, and its line
    "counts": ("<u2", 1),  # [P], points of each polygon
    "ignore": ("?", 1),  # [P]
    "points": ("<f4", 2),  # [N, 2], (x, y) pixels
    "paths": ("u1", 1),  # of the images, one after the other
    "source_rows": ("<i8", 1),  # [K + 1], where a label file's path begins
    "sources": ("u1", 1),  # paths of the label files, one after the other
}


class Words(NamedTuple):
    """Words to learn, words that are ignored, and images without any."""

    learned: int
    ignored: int
    textless: int


class Table(NamedTuple):
    """The labels of some images in a row, as arrays.

    Attributes:
        paths: of the images.
        polygons: int64 `[S]`, polygons of each image.
        counts: int64 `[P]`, points of each polygon.
        ignore: bool `[P]`.
        points: float32 `[N, 2]`, (x, y) pixels.
    """

    paths: list[str]
    polygons: np.ndarray
    counts: np.ndarray
    ignore: np.ndarray
    points: np.ndarray

    def split(self, group):
        """`Table`s of every so many of the images."""
        polygons = np.concatenate([[0], np.cumsum(self.polygons)])
        points = np.concatenate([[0], np.cumsum(self.counts)])[polygons]
        for first in range(0, len(self.paths), group):
            last = min(first + group, len(self.paths))
            words = slice(polygons[first], polygons[last])
            yield Table(
                self.paths[first:last],
                self.polygons[first:last],
                self.counts[words],
                self.ignore[words],
                self.points[points[first] : points[last]],
            )


class Sequence(collections.abc.Sequence):
    """Gives items by number, negative ones and slices too, as a list does."""

    def __getitem__(self, number):
        if isinstance(number, slice):
            return [self._item(n) for n in range(*number.indices(len(self)))]
        number = operator.index(number)
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        return self._item(number % len(self))

    def __eq__(self, other):
        return isinstance(other, collections.abc.Sequence) and list(self) == list(other)

    def __iter__(self):
        return map(self._item, range(len(self)))


class LabelIndex(Sequence):
    """The samples of one source, in the order of its label file.

    Args:
        columns: `{name: array}` as in `COLUMNS`; of an array only slices are taken.
        words: `Words`.
    """

    def __init__(self, columns, words):
        self.columns, self.words = columns, words
        self._length = len(columns["rows"]) - 1

    def __len__(self):
        return self._length

    def _item(self, number):
        columns = self.columns
        (polygon, point, byte), (*ends, last_byte) = columns["rows"][number : number + 2].tolist()
        edges = [0, *np.cumsum(columns["counts"][polygon : ends[0]], dtype=np.int64).tolist()]
        points = columns["points"][point : ends[1]]
        ((source, line),) = columns["places"][number : number + 1].tolist()
        return Sample(
            _text(columns["paths"][byte:last_byte]),
            tuple(points[first:last] for first, last in itertools.pairwise(edges)),
            tuple(columns["ignore"][polygon : ends[0]].tolist()),
            self._source(source),
            line,
        )

    def table(self, first, last):
        """`Table` of images `first` to `last`."""
        columns = self.columns
        rows = columns["rows"][first : min(last, len(self)) + 1]
        (polygon, point, byte), (last_polygon, last_point, last_byte) = rows[[0, -1]].tolist()
        names = columns["paths"][byte:last_byte].tobytes()
        edges = (rows[:, 2] - byte).tolist()
        return Table(
            [_decode(names[a:b]) for a, b in itertools.pairwise(edges)],
            np.diff(rows[:, 0]),
            columns["counts"][polygon:last_polygon].astype(np.int64),
            columns["ignore"][polygon:last_polygon],
            columns["points"][point:last_point],
        )

    def _source(self, number):
        first, last = self.columns["source_rows"][number : number + 2].tolist()
        return _text(self.columns["sources"][first:last])


class Joined(Sequence):
    """The samples of several sources, one source after the other."""

    def __init__(self, parts):
        self.parts = list(parts)
        self._ends = list(itertools.accumulate(map(len, self.parts)))

    def __len__(self):
        return self._ends[-1] if self._ends else 0

    def _item(self, number):
        part = bisect.bisect_right(self._ends, number)
        return self.parts[part][number - (self._ends[part - 1] if part else 0)]

    def table(self, first, last):
        """`Table` of images `first` to `last`."""
        starts = [0, *self._ends[:-1]]
        return _stack(
            part.table(max(first - start, 0), last - start)
            for part, start, end in zip(self.parts, starts, self._ends, strict=True)
            if first < end and start < last
        )

    @property
    def words(self):
        """`Words` of all of them."""
        return Words(*map(sum, zip((0, 0, 0), *map(count_words, self.parts), strict=True)))


class Chosen(Sequence):
    """Some samples of a sequence.

    Args:
        samples: sequence.
        numbers: int `[N]`, which of them.
    """

    def __init__(self, samples, numbers):
        self._samples, self._numbers = samples, numbers

    def __len__(self):
        return len(self._numbers)

    def _item(self, number):
        return self._samples[self._numbers[number]]


def join(parts):
    """The samples of several sources, as one sequence."""
    return parts[0] if len(parts) == 1 else Joined(parts)


def count_words(samples):
    """`Words` of an index, or of a list of samples."""
    if isinstance(samples, (LabelIndex, Joined)):
        return samples.words
    ignored = sum(sum(sample.ignore) for sample in samples)
    total = sum(len(sample.ignore) for sample in samples)
    return Words(total - ignored, ignored, sum(not sample.polygons for sample in samples))


def table(samples, first, last):
    """`Table` of images `first` to `last` of an index, or of a list of samples."""
    if isinstance(samples, (LabelIndex, Joined)):
        return samples.table(first, last)
    return _stack(map(_table_of, samples[first:last]))


def _table_of(sample):
    polygons, counts = sample.polygons, [len(polygon) for polygon in sample.polygons]
    points = [np.reshape(np.asarray(polygon, np.float32), (-1, 2)) for polygon in polygons]
    return Table(
        [sample.image_path],
        np.array([len(counts)], np.int64),
        np.array(counts, np.int64),
        np.array(sample.ignore, bool),
        np.concatenate([np.zeros((0, 2), np.float32), *points]),
    )


def _stack(tables):
    paths, *arrays = zip(*tables, strict=True)
    return Table(list(itertools.chain.from_iterable(paths)), *map(np.concatenate, arrays))


def encode(text):
    """The bytes of a path in a column."""
    return text.encode("utf-8", "surrogateescape")


def _text(array):
    return _decode(array.tobytes())


def _decode(name):
    return name.decode("utf-8", "surrogateescape")
