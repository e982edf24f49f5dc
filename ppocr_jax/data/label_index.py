"""The labels of a split as flat arrays; the `Sample` of an image is made when it is needed.

A million images have about twelve million words. As Python objects they take 15 GB in every
process; as arrays they take half a GB, and no memory at all if read from a file (see `label_file`).
"""

from __future__ import annotations

import bisect
import collections.abc
import itertools
import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ppocr_jax.data.sample import Sample

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, Int, Int64

# dtype and width of each array, for S images with P polygons of N points from K label files.
COLUMNS = {
    "rows": ("<i8", 3),  # [S + 1, 3], where an image's polygons, points and path begin
    "places": ("<i4", 2),  # [S, 2], number of the label file, and line in it
    "counts": ("<u2", 1),  # [P], points of each polygon
    "ignore": ("?", 1),  # [P]
    "points": ("<f4", 2),  # [N, 2], (x, y) in pixels
    "paths": ("u1", 1),  # paths of the images, one after the other
    "source_rows": ("<i8", 1),  # [K + 1], where a label file's path begins
    "sources": ("u1", 1),  # paths of the label files, one after the other
}


class Words(NamedTuple):
    """Word counts of a split.

    Attributes:
        learned: words to learn.
        ignored: words that are ignored.
        textless: images without any word.
    """

    learned: int
    ignored: int
    textless: int


class Table(NamedTuple):
    """The labels of some consecutive images, as arrays.

    Attributes:
        paths: paths of the images.
        polygons: int64 `[S]`, polygons of each image.
        counts: int64 `[P]`, points of each polygon.
        ignore: bool `[P]`.
        points: float32 `[N, 2]`, (x, y) in pixels.
    """

    paths: list[str]
    polygons: Int64[np.ndarray, " S"]
    counts: Int64[np.ndarray, " P"]
    ignore: Bool[np.ndarray, " P"]
    points: Float32[np.ndarray, "N 2"]

    def split(self, group: int) -> Iterator[Table]:
        """The same labels in tables of `group` images each."""
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
    """A read-only sequence whose items `_item` makes; negative numbers and slices work too."""

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self._item(n) for n in range(*number.indices(len(self)))]
        number = operator.index(number)
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        return self._item(number % len(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, collections.abc.Sequence) and list(self) == list(other)

    def __iter__(self) -> Iterator[Any]:
        return map(self._item, range(len(self)))

    def _item(self, number: int) -> Any:
        raise NotImplementedError


class LabelIndex(Sequence):
    """The samples of one source, in the order of its label file.

    Args:
        columns: `{name: array}` as in `COLUMNS`; arrays are only sliced, so that they may be in a
            file.
        words: word counts of all its images.
    """

    def __init__(self, columns: Mapping[str, Any], words: Words) -> None:
        self.columns, self.words = columns, words
        self._length = len(columns["rows"]) - 1

    def __len__(self) -> int:
        return self._length

    def _item(self, number: int) -> Sample:
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

    def table(self, first: int, last: int) -> Table:
        """The labels of images `first` to `last - 1`."""
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

    def _source(self, number: int) -> str:
        first, last = self.columns["source_rows"][number : number + 2].tolist()
        return _text(self.columns["sources"][first:last])


class Joined(Sequence):
    """The samples of several sources, one source after the other.

    Args:
        parts: sequences of samples.
    """

    def __init__(self, parts: Iterable[Any]) -> None:
        self.parts = list(parts)
        self._ends = list(itertools.accumulate(map(len, self.parts)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def _item(self, number: int) -> Sample:
        part = bisect.bisect_right(self._ends, number)
        return self.parts[part][number - (self._ends[part - 1] if part else 0)]

    def table(self, first: int, last: int) -> Table:
        """The labels of images `first` to `last - 1`."""
        starts = [0, *self._ends[:-1]]
        return _stack(
            part.table(max(first - start, 0), last - start)
            for part, start, end in zip(self.parts, starts, self._ends, strict=True)
            if first < end and start < last
        )

    @property
    def words(self) -> Words:
        """Word counts of all sources together."""
        return Words(*map(sum, zip((0, 0, 0), *map(count_words, self.parts), strict=True)))


class Chosen(Sequence):
    """A selection of samples.

    Args:
        samples: the whole sequence.
        numbers: int `[N]`, numbers of the selected samples.
    """

    def __init__(
        self, samples: collections.abc.Sequence[Sample], numbers: Int[np.ndarray, " N"]
    ) -> None:
        self._samples, self._numbers = samples, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def _item(self, number: int) -> Sample:
        return self._samples[self._numbers[number]]


def join(
    parts: collections.abc.Sequence[collections.abc.Sequence[Sample]],
) -> collections.abc.Sequence[Sample]:
    """The samples of several sources as one sequence."""
    return parts[0] if len(parts) == 1 else Joined(parts)


def count_words(samples: collections.abc.Sequence[Sample]) -> Words:
    """Word counts of an index, or of any other sequence of samples."""
    if isinstance(samples, (LabelIndex, Joined)):
        return samples.words
    ignored = sum(sum(sample.ignore) for sample in samples)
    total = sum(len(sample.ignore) for sample in samples)
    return Words(total - ignored, ignored, sum(not sample.polygons for sample in samples))


def table(samples: collections.abc.Sequence[Sample], first: int, last: int) -> Table:
    """The labels of images `first` to `last - 1` of an index, or of any sequence of samples."""
    if isinstance(samples, (LabelIndex, Joined)):
        return samples.table(first, last)
    return _stack(map(_table_of, samples[first:last]))


def _table_of(sample: Sample) -> Table:
    """The `Table` of one sample."""
    polygons, counts = sample.polygons, [len(polygon) for polygon in sample.polygons]
    points = [np.reshape(np.asarray(polygon, np.float32), (-1, 2)) for polygon in polygons]
    return Table(
        [sample.image_path],
        np.array([len(counts)], np.int64),
        np.array(counts, np.int64),
        np.array(sample.ignore, bool),
        np.concatenate([np.zeros((0, 2), np.float32), *points]),
    )


def _stack(tables: Iterable[Table]) -> Table:
    """Tables one after the other as a single one."""
    paths, *arrays = zip(*tables, strict=True)
    return Table(list(itertools.chain.from_iterable(paths)), *map(np.concatenate, arrays))


def encode(text: str) -> bytes:
    """The bytes of a path in a column; file names that are not UTF-8 survive the way back."""
    return text.encode("utf-8", "surrogateescape")


def _text(array: np.ndarray) -> str:
    return _decode(array.tobytes())


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
