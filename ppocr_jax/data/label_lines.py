"""Reads PaddleOCR's label files, one line `path<TAB>JSON` per image, block by block."""

from __future__ import annotations

import collections
import contextlib
import gc
import itertools
import json
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tqdm import tqdm

from ppocr_jax.data.label_columns import Block
from ppocr_jax.data.label_polygons import (
    LARGEST_COORDINATE,
    MOST_EDGE_PAIRS,
    MOST_POINTS,
    MOST_POLYGONS,
    as_polygon,
    require_few,
)
from ppocr_jax.data.marks import WordCounts, is_mark
from ppocr_jax.data.picture_paths import PicturePaths
from ppocr_jax.data.sample import Problem
from ppocr_jax.data.workers import Workers
from ppocr_jax.errors import UserError

if TYPE_CHECKING:
    from ppocr_jax.data.label_columns import Columns

MOST_BYTES = 1 << 36  # of a label file; ICDAR 2015's has 0.5 MB for 1000 images
MOST_LINE = 1 << 28  # bytes of a line; a page of small print with outlined letters has a thousandth
BLOCK = 1 << 20  # bytes read at a time, then on to the end of the line
MANY = 1 << 25  # bytes from which on several processes read; starting them takes a second
MOST_WORKERS = 8

BYTE_ORDER_MARK = "begins with a byte order mark, which is ignored here; save it without one"
JSON_VALUES = {str, int, float, bool, type(None)}


class ParsedBlock(NamedTuple):
    """The content of a block of lines.

    Attributes:
        block: the lines that can be used; line numbers count from 1 within the block.
        problems: `(line, reason)` of the others.
        lines: number of lines, blank ones included.
        blank: whether all are blank.
        words: counts of unusual texts.
        pictures: number of images found under another path, by kind.
        folders: folders whose content mattered.
    """

    block: Block
    problems: list[tuple[int, str]]
    lines: int
    blank: bool
    words: WordCounts
    pictures: collections.Counter[str]
    folders: set[str]


def scan_file(
    path: pathlib.Path,
    root: str | os.PathLike[str],
    columns: Columns,
    pictures: PicturePaths,
    words: WordCounts,
) -> list[Problem]:
    """Reads a label file into `columns`.

    Args:
        path: the file.
        root: folder of the images.
        columns: receives the labels.
        pictures: counts images found under another path.
        words: counts unusual texts.

    Returns:
        The problems of lines that cannot be used.

    Raises:
        UserError: not a file, empty, too large, or UTF-16.
    """
    begin, marked = find_text(path)
    problems = [Problem(str(path), 1, BYTE_ORDER_MARK, harmless=True)] if marked else []
    columns.add_source(path)
    size, line, blank = os.path.getsize(path), 0, True
    spans = find_spans(path, begin, size)
    make = ReadSpan(path, root, spans)
    with tqdm(total=size, desc="labels", unit="B", unit_scale=True, delay=1, leave=False,
              disable=None) as bar:  # fmt: skip
        for read, (first, last) in zip(_in_order(make, size), spans, strict=True):
            block = read.block._replace(lines=read.block.lines + line)
            columns.add(block)
            problems += [Problem(str(path), line + n, reason) for n, reason in read.problems]
            words.merge(read.words)
            pictures.changed.update(read.pictures)
            pictures.folders |= read.folders
            line, blank = line + read.lines, blank and read.blank
            bar.update(last - first)
    if blank:
        raise UserError(f"{path}: the label file is empty")
    return problems


def _in_order(make: ReadSpan, size: int) -> Iterator[ParsedBlock]:
    """The blocks of a file in order, parsed by several processes if the file is large."""
    workers = min(MOST_WORKERS, os.cpu_count() or 1)
    if size < MANY or workers == 1:
        yield from map(make, range(len(make.spans)))
        return
    made = Workers(make, len(make.spans), workers, 2)
    try:
        yield from made
    finally:
        made.close()


def find_text(path: pathlib.Path) -> tuple[int, bool]:
    """`(offset of the text in a label file, whether a byte order mark precedes it)`.

    Raises:
        UserError: not a file, too large, or UTF-16.
    """
    if not path.is_file():
        raise UserError(f"{path}: not a file")
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"{path}: more than {MOST_BYTES >> 20} MiB; split the label file")
        with open(path, "rb") as file:
            start = file.read(3)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{path}: is UTF-16; save it as UTF-8")
    marked = start == b"\xef\xbb\xbf"
    return 3 * marked, marked


def find_spans(path: pathlib.Path, begin: int, size: int) -> list[tuple[int, int]]:
    """`(begin, end)` offsets of blocks of whole lines. Raises UserError: a line is too long."""
    places = [begin]
    with open(path, "rb") as file:
        while places[-1] + BLOCK < size:
            file.seek(places[-1] + BLOCK)
            if len(file.readline(MOST_LINE)) == MOST_LINE:
                raise UserError(f"{path}: a line of over {MOST_LINE >> 20} MiB: not a label file")
            places.append(file.tell())
    if places[-1] < size or len(places) == 1:
        places.append(size)
    return list(itertools.pairwise(places))


class ReadSpan:
    """Number of a block -> `ParsedBlock`, in this process or in a worker.

    Args:
        path: the label file.
        root: folder of the images.
        spans: `(begin, end)` of every block, bytes.
    """

    def __init__(
        self, path: pathlib.Path, root: str | os.PathLike[str], spans: Sequence[tuple[int, int]]
    ) -> None:
        self.path, self.root, self.spans = path, root, spans
        self._pictures = PicturePaths(root)

    def __call__(self, number: int) -> ParsedBlock:
        first, last = self.spans[number]
        try:
            with open(self.path, "rb") as file:
                file.seek(first)
                data = file.read(last - first)
        except OSError as error:
            raise UserError(f"{self.path}: {error.strerror}") from None
        self._pictures.changed, self._pictures.folders = collections.Counter(), set()
        with _without_gc():
            return read_lines(data, self._pictures)


@contextlib.contextmanager
def _without_gc() -> Iterator[None]:
    """Switches Python's garbage collector off: scanning a block's lists takes half of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Unusual(Exception):
    """Something in a block is unusual, so that its lines have to be parsed one by one."""


def read_lines(data: bytes, pictures: PicturePaths) -> ParsedBlock:
    """Parses a block of whole lines.

    Args:
        data: the lines.
        pictures: finds the images.
    """
    # --- lines -> JSON
    lines: list[tuple[int, str, list[Any]]] = []
    problems: list[tuple[int, str]] = []
    number = 0
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            lines.append((number, *parse_line(line)))
        except ValueError as error:
            problems.append((number, str(error)))
    blank = not lines and not problems
    # --- JSON -> arrays: for a whole block at once where nothing is wrong, which is much faster
    try:
        texts, counts, points = _all_at_once([entries for _, _, entries in lines])
    except _Unusual:
        lines, found, texts, counts, points = _one_by_one(lines)
        problems = sorted(problems + found)
    # --- ignored words and unusual texts
    words, ignore = WordCounts(), np.array([is_mark(text) for text in texts], bool)
    entries = itertools.chain.from_iterable(entries for _, _, entries in lines)
    for entry, text, ignored in zip(entries, texts, ignore.tolist(), strict=True):
        words.add(text, ignored, entry.get("difficult") is True)
    block = Block(
        [pictures.find(name) for _, name, _ in lines],
        np.array([number for number, _, _ in lines], np.int64),
        np.array([len(entries) for _, _, entries in lines], np.int64),
        counts,
        ignore,
        points,
    )
    return ParsedBlock(block, problems, number, blank, words, pictures.changed, pictures.folders)


def _all_at_once(lists: Sequence[Any]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """`(texts, number of points of each polygon, all points)` of lists of labels.

    Raises:
        _Unusual: a label may be wrong or is written in an unusual way. What is wrong is then found
            by `as_polygon` and `require_few`.
    """
    try:
        entries = [entry for entries in lists for entry in entries]
        texts = [entry["transcription"] for entry in entries]
        polygons = [entry["points"] for entry in entries]
    except (KeyError, TypeError, IndexError):
        raise _Unusual from None
    if not (set(map(type, texts)) <= JSON_VALUES and set(map(type, polygons)) <= {list}):
        raise _Unusual
    pairs = list(itertools.chain.from_iterable(polygons))
    if not (set(map(type, pairs)) <= {list} and set(map(len, pairs)) <= {2}):
        raise _Unusual
    numbers = list(itertools.chain.from_iterable(pairs))
    if not set(map(type, numbers)) <= {int, float}:
        raise _Unusual
    try:
        points = np.array(numbers, np.float64).reshape(-1, 2)
    except OverflowError:
        raise _Unusual from None
    counts = np.array(list(map(len, polygons)), np.int64)
    sizes = np.array(list(map(len, lists)), np.int64)
    edge_pairs = np.concatenate([[0], np.cumsum(counts**2)])
    edge_pairs = np.diff(edge_pairs[np.concatenate([[0], np.cumsum(sizes)])])
    usual = (
        ((counts >= 3) & (counts <= MOST_POINTS)).all()
        and (np.abs(points) <= LARGEST_COORDINATE).all()  # false for NaN as well
        and (sizes <= MOST_POLYGONS).all()
        and (edge_pairs <= MOST_EDGE_PAIRS).all()
    )
    if not usual:
        raise _Unusual
    return [str(text) for text in texts], counts, points.astype(np.float32)


def _one_by_one(
    lines: Sequence[tuple[int, str, list[Any]]],
) -> tuple[
    list[tuple[int, str, list[Any]]], list[tuple[int, str]], list[str], np.ndarray, np.ndarray
]:
    """`(good lines, problems, texts, number of points of each polygon, all points)`."""
    good: list[tuple[int, str, list[Any]]] = []
    problems: list[tuple[int, str]] = []
    texts: list[str] = []
    polygons: list[np.ndarray] = []
    for number, name, entries in lines:
        try:
            own = [_parse_entry(entry, index) for index, entry in enumerate(entries, 1)]
            require_few(own)
        except ValueError as error:
            problems.append((number, str(error)))
            continue
        good.append((number, name, entries))
        polygons += own
        texts += [str(entry["transcription"]) for entry in entries]
    counts = np.array([len(polygon) for polygon in polygons], np.int64)
    points = np.concatenate([np.zeros((0, 2), np.float32), *polygons])
    return good, problems, texts, counts, points


def parse_line(line: bytes) -> tuple[str, list[Any]]:
    """`(path of the image, list of labels)` of a line. Raises ValueError with a reason."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    name, tab, labels = text.partition("\t")
    if not tab:
        raise ValueError("has no tab between image path and labels")
    if not name.strip():
        raise ValueError("has no image path before the tab")
    if "\0" in name:
        raise ValueError("the image path contains a NUL character")
    try:
        entries = json.loads(labels)
    except RecursionError:
        raise ValueError("the labels are nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"the labels are not JSON ({error})") from None
    except ValueError:
        raise ValueError("the labels contain a number with thousands of digits") from None
    if not isinstance(entries, list):
        raise ValueError("the labels are not a JSON list")
    return name, entries


def _parse_entry(entry: Any, index: int) -> np.ndarray:
    """The polygon of label number `index` of a line. Raises ValueError with a reason."""
    if not isinstance(entry, dict) or "points" not in entry or "transcription" not in entry:
        raise ValueError(f"label {index} lacks points or transcription")
    try:
        polygon = as_polygon(entry["points"])
    except ValueError as error:
        raise ValueError(f"label {index}: {error}") from None
    if isinstance(entry["transcription"], (dict, list)):
        raise ValueError(f"label {index}: the transcription is not text")
    return polygon
