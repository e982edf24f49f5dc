"""Folders of ICDAR's `gt_<name>.txt`, a file per picture."""

import os

import numpy as np
from tqdm import tqdm

from ppocr_jax.data import icdar
from ppocr_jax.data.label_columns import Block
from ppocr_jax.data.label_lines import BYTE_ORDER_MARK
from ppocr_jax.data.label_polygons import as_polygon, require_few
from ppocr_jax.data.sample import Problem
from ppocr_jax.errors import UserError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jpe",
                  ".jfif", ".dib", ".avif", ".jp2", ".pbm", ".pgm", ".ppm", ".pnm")  # fmt: skip

NO_PICTURE = "no image of this name"
MOST_BYTES = 1 << 30  # of a file that is read at once
MOST_SETTLED = 1 << 26  # bytes of lines by which a form is settled; each takes twenty as objects


def read_label_bytes(path):
    """The bytes of a label file, without a byte order mark: `(bytes, whether there was one)`."""
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


def scan_folder(folder, root, columns, pictures, words):
    """Reads a folder, in one of the forms of `icdar`, into `columns`.

    Args:
        folder: of the label files.
        root: folder of the pictures.
        columns: `label_columns.Columns`.
        pictures: `PicturePaths`.
        words: `WordCounts`.

    Returns:
        `(problems, notes)`.

    Raises:
        UserError: it holds no such file, or one that cannot be read.
    """
    files = sorted(folder.glob("gt_*.txt"))
    if not files:
        raise UserError(f"{folder}: holds no gt_*.txt")
    pictures.folders |= {str(root), str(folder)}
    files = _Files(files)
    problems = [Problem(str(path), 1, BYTE_ORDER_MARK, harmless=True) for path in files.marked]
    form, fit = icdar.settle(files.some), 0
    if files.total and form is None:
        path, number, line = files.first
        reason = (
            f"the folder has none of the forms that are known: {icdar.KNOWN}; this is `{line[:60]}`"
        )
        return [*problems, Problem(str(path), number, reason)], []
    for path, lines in files.read():
        polygons, ignore = [], []
        for number, line in lines:
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
    """The lines of all files that are not blank: those of few files are kept, others read twice.

    Attributes:
        paths: of the files.
        marked: those that begin with a byte order mark.
        total: lines in all.
        first: `(path, number, text)` of the first one.
        some: texts by which the form is settled: all, or as many as fit into memory, evenly.
    """

    def __init__(self, paths):
        step = 1 + sum(path.stat().st_size for path in paths if path.is_file()) // MOST_SETTLED
        self.paths, self.marked, self.total, self.first, self.some = paths, [], 0, None, []
        self._kept = {} if step == 1 else None
        for path in _with_bar(paths, "forms"):
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

    def read(self):
        """`(path, [(number, text)])` of each."""
        for path in _with_bar(self.paths, "labels"):
            kept = self._kept is not None
            yield path, self._kept[path] if kept else _read_lines(path)[0]


def _with_bar(paths, what):
    return tqdm(paths, what, unit="file", delay=1, leave=False, disable=None)


def _block(image, polygons, ignore):
    """The `Block` of one picture."""
    counts = [len(polygon) for polygon in polygons]
    points = np.concatenate([np.zeros((0, 2), np.float32), *polygons])
    ignore = np.array(ignore, bool)
    return Block([image], np.zeros(1, int), np.array([len(counts)]), counts, ignore, points)


def _folder_notes(folder, files, form, fit, total):
    """Lines on the form of a folder, and on what was left aside."""
    notes = [f"gt_*.txt with {form.name} on {fit} of {total} lines"] if form else []
    taken = {path.name for path in files}
    others = sum(n not in taken and n.lower().endswith(".txt") for n in os.listdir(folder))
    if others:
        notes.append(f"{others} other .txt files are not read: their names are not gt_<image>.txt")
    return notes


def _read_lines(path):
    """`(number, text)` of the lines that are not blank, and whether a byte order mark begins it."""
    data, marked = read_label_bytes(path)
    # A text in another encoding is still a text: only the numbers and the mark matter.
    lines = [line.decode("utf-8", "replace") for line in data.splitlines()]
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()], marked


def _image_of(stem, folder, root, pictures):
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
