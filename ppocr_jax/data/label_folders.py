"""Reads folders of ICDAR's `gt_<name>.txt`, one file per image."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from ppocr_jax.data import icdar
from ppocr_jax.data.label_columns import Block
from ppocr_jax.data.label_lines import BYTE_ORDER_MARK
from ppocr_jax.data.label_polygons import as_polygon, require_few
from ppocr_jax.data.sample import Problem
from ppocr_jax.errors import UserError

if TYPE_CHECKING:
    from ppocr_jax.data.label_columns import Columns
    from ppocr_jax.data.marks import WordCounts
    from ppocr_jax.data.picture_paths import PicturePaths

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jpe",
                  ".jfif", ".dib", ".avif", ".jp2", ".pbm", ".pgm", ".ppm", ".pnm")  # fmt: skip

NO_PICTURE = "no image of this name"
MOST_BYTES = 1 << 30  # of a file that is read at once
MOST_SETTLED = 1 << 26  # bytes of lines examined for the format; as objects they take twenty times


def read_label_bytes(path: pathlib.Path) -> tuple[bytes, bool]:
    """`(content of a label file without its byte order mark, whether it had one)`.

    Raises:
        UserError: not a file, not readable, too large, or UTF-16.
    """
    if not path.is_file():
        raise UserError(f"{path}: not a file")
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"{path}: more than {MOST_BYTES >> 20} MiB; split the label file")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{path}: is UTF-16; save it as UTF-8")
    return data.removeprefix(b"\xef\xbb\xbf"), data.startswith(b"\xef\xbb\xbf")


def scan_folder(
    folder: pathlib.Path,
    root: pathlib.Path,
    columns: Columns,
    pictures: PicturePaths,
    words: WordCounts,
) -> tuple[list[Problem], list[str]]:
    """Reads a folder, in one of the formats of `icdar`, into `columns`.

    Args:
        folder: folder of the label files.
        root: folder of the images.
        columns: receives the labels.
        pictures: notes the folders whose content mattered.
        words: counts unusual texts.

    Returns:
        `(problems, notes)`: what cannot be used, and lines of text on how the folder was read.

    Raises:
        UserError: the folder has no such file, or one cannot be read.
    """
    found = sorted(folder.glob("gt_*.txt"))
    if not found:
        raise UserError(f"{folder}: holds no gt_*.txt")
    pictures.folders |= {str(root), str(folder)}
    # --- the format, from all lines
    files = _Files(found)
    problems = [Problem(str(path), 1, BYTE_ORDER_MARK, harmless=True) for path in files.marked]
    form, fit = icdar.settle(files.some), 0
    if files.first and form is None:
        path, number, line = files.first
        reason = (
            f"the folder's files are in no known format: {icdar.KNOWN}; this line is `{line[:60]}`"
        )
        return [*problems, Problem(str(path), number, reason)], []
    # --- the labels, file by file
    for path, lines in files.read():
        polygons: list[np.ndarray] = []
        ignore: list[bool] = []
        for number, line in lines:
            assert form is not None  # there are lines, so there is a format
            try:
                word = form.read(line)
                polygons.append(as_polygon(word.points))
            except ValueError as error:
                problems.append(Problem(str(path), number, str(error)))
                continue
            ignore.append(word.ignore)
            words.add(word.written, word.ignore)
            fit += 1
        try:
            require_few(polygons)
        except ValueError as error:
            problems.append(Problem(str(path), 0, str(error)))
            continue
        image = _image_of(path.stem.removeprefix("gt_"), folder, root, pictures)
        if image is None:
            reason = f"{NO_PICTURE} in {root} or {folder}"
            problems.append(Problem(str(path), 0, reason, kind=NO_PICTURE))
            continue
        columns.add_source(path)
        columns.add(_block(image, polygons, ignore))
    return problems, _folder_notes(folder, files.paths, form, fit, files.total)


class _Files:
    """The lines of all files that are not blank: kept if there are few, otherwise read twice.

    Attributes:
        paths: the files.
        marked: files that begin with a byte order mark.
        total: number of lines.
        first: `(path, line number, text)` of the first line; None if there is none.
        some: texts that decide the format: all, or as many as fit into memory, evenly spread.
    """

    def __init__(self, paths: Sequence[pathlib.Path]) -> None:
        step = 1 + sum(path.stat().st_size for path in paths if path.is_file()) // MOST_SETTLED
        self.paths, self.total = paths, 0
        self.marked: list[pathlib.Path] = []
        self.first: tuple[pathlib.Path, int, str] | None = None
        self.some: list[str] = []
        self._kept: dict[pathlib.Path, list[tuple[int, str]]] | None = {} if step == 1 else None
        for path in _with_bar(paths, "formats"):
            lines, marked = _read_lines(path)
            if marked:
                self.marked.append(path)
            if lines and not self.total:
                self.first = (path, *lines[0])
            start = -self.total % step
            self.some += [line for _, line in lines[start::step]]
            self.total += len(lines)
            if self._kept is not None:
                self._kept[path] = lines

    def read(self) -> Iterator[tuple[pathlib.Path, list[tuple[int, str]]]]:
        """`(path, [(line number, text)])` of each file."""
        for path in _with_bar(self.paths, "labels"):
            yield path, _read_lines(path)[0] if self._kept is None else self._kept[path]


def _with_bar(paths: Iterable[pathlib.Path], what: str) -> Iterable[pathlib.Path]:
    return tqdm(paths, what, unit="file", delay=1, leave=False, disable=None)


def _block(image: str, polygons: Sequence[np.ndarray], ignore: Sequence[bool]) -> Block:
    """The `Block` of one image."""
    counts = np.array([len(polygon) for polygon in polygons], int)
    points = np.concatenate([np.zeros((0, 2), np.float32), *polygons])
    flags = np.array(ignore, bool)
    return Block([image], np.zeros(1, int), np.array([len(counts)]), counts, flags, points)


def _folder_notes(
    folder: pathlib.Path,
    files: Sequence[pathlib.Path],
    form: icdar.Form | None,
    fit: int,
    total: int,
) -> list[str]:
    """Lines of text on the format of a folder, and on files that were left out."""
    notes = [f"gt_*.txt with {form.name} on {fit} of {total} lines"] if form else []
    taken = {path.name for path in files}
    others = sum(n not in taken and n.lower().endswith(".txt") for n in os.listdir(folder))
    if others:
        notes.append(f"{others} other .txt files are not read: their names are not gt_<image>.txt")
    return notes


def _read_lines(path: pathlib.Path) -> tuple[list[tuple[int, str]], bool]:
    """`([(line number, text)] of the lines that are not blank, whether it has a BOM)`."""
    data, marked = read_label_bytes(path)
    # A text in another encoding is no problem: only the numbers and the ignore mark are needed.
    lines = [line.decode("utf-8", "replace") for line in data.splitlines()]
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()], marked


def _image_of(
    stem: str, folder: pathlib.Path, root: pathlib.Path, pictures: PicturePaths
) -> str | None:
    """Path of the image with this stem, in `root` or in the folder of the labels; None if none."""
    names = [stem + form for suffix in IMAGE_SUFFIXES for form in (suffix, suffix.upper())]
    for place in (root, folder):
        for name in names:
            if (place / name).is_file():
                return str(place / name)
    if not stem.isascii():
        found = [pictures.other_form(place / name) for place in (root, folder) for name in names]
        for path in filter(None, found):
            return str(path)
    return None
