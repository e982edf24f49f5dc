"""Total-Text's MATLAB files: a table `polygt` with the same columns as its text files."""

import functools
import io
import pathlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import scipy.io

from ppocr_jax.annotations.gt_files import find_image
from ppocr_jax.annotations.records import LabelledImage, Word, Words
from ppocr_jax.data.labels import read_label_bytes

if TYPE_CHECKING:
    from ppocr_jax.annotations.sources import Job

TABLES = ("polygt", "gt")  # name of the table in newer and in older files
X, Y, TEXT = 1, 3, 4  # columns, counted from 0: "x:", x, "y:", y, text, orientation
# Real files have a few thousand bytes. They are compressed, so a larger one could fill the memory.
MOST_BYTES = 1 << 18


class TOTAL_TEXT_MAT:
    """Reads Total-Text's .mat, see `annotations.TEXT_FORMATS`. The text `#` marks ignored words."""

    @staticmethod
    def fits(data: bytes) -> bool:
        """Whether a file has the header of MATLAB 5."""
        return data.startswith(b"MATLAB 5.0")

    @staticmethod
    def read(paths: Iterable[pathlib.Path], job: "Job") -> Iterator[LabelledImage]:
        """Yields the image of every file."""
        for path in paths:
            try:
                table = _read_table(path)
                image_path = find_image(path, job)
                words = _read_words(table, path, job)
                yield LabelledImage(path.name, str(path), image_path, words)
            except ValueError as error:
                job.findings.refuse(path, error, path.stem)


def _read_table(path: pathlib.Path) -> np.ndarray:
    """The table of a file, objects `[words, columns]`. Raises ValueError: it holds none."""
    data = read_label_bytes(path)[0]
    if len(data) > MOST_BYTES:
        raise ValueError(f"{len(data) >> 10} KiB, which is too large for a table of words")
    try:
        tables = scipy.io.loadmat(io.BytesIO(data), variable_names=TABLES)
    except Exception as error:  # SciPy raises almost anything on a damaged file
        raise ValueError(f"not a complete MATLAB file ({type(error).__name__})") from None
    table = next((tables[name] for name in TABLES if name in tables), None)
    if table is None or table.ndim != 2 or (table.size and table.shape[1] <= TEXT):
        raise ValueError(f"has no table {' or '.join(TABLES)} in Total-Text's form")
    return table


def _read_words(table: np.ndarray, path: pathlib.Path, job: "Job") -> list[Word]:
    words = Words(path, job.findings)
    for number, row in enumerate(table, 1):
        text = "".join(map(str, np.ravel(row[TEXT])))
        words.add_parts(
            functools.partial(_polygons, row),
            f"{path} row {number}",
            text,
            text.strip() == "#",
        )
    return words.finish()


def _polygons(row: np.ndarray) -> list[np.ndarray]:
    """The polygon of one row, float64 `[P, 2]`."""
    x, y = (np.ravel(row[column]).astype(np.float64) for column in (X, Y))
    if len(x) != len(y):
        raise ValueError(f"{len(x)} numbers in x and {len(y)} in y")
    return [np.stack([x, y], 1)]
