"""Total-Text's MATLAB files: a table `polygt` with the same columns as its text files."""

import io

import numpy as np
import scipy.io

from ppocr_jax.annotations.gt_files import find_picture
from ppocr_jax.annotations.records import Labelled, Words
from ppocr_jax.data.labels import read_label_bytes

TABLES = ("polygt", "gt")  # of polygons, in the newer files and in the older ones
X, Y, TEXT = 1, 3, 4  # columns: "x:", x, "y:", y, text, orientation
MOST_BYTES = 1 << 18  # they have a few thousand: what is packed in more could fill the memory


class TOTAL_TEXT_MAT:
    """See `annotations.TEXT_FORMATS`. `#` as text marks what is not to be learned."""

    @staticmethod
    def fits(data):
        return data.startswith(b"MATLAB 5.0")

    @staticmethod
    def read(paths, job):
        for path in paths:
            try:
                table = _read_table(path)
                picture = find_picture(path, job)
                yield Labelled(path.name, str(path), picture, _read_words(table, path, job))
            except ValueError as error:
                job.findings.refuse(path, error, path.stem)


def _read_table(path):
    """The rows of a file. Raises ValueError: it holds none."""
    data = read_label_bytes(path)[0]
    if len(data) > MOST_BYTES:
        raise ValueError(f"{len(data) >> 10} KiB are more than a table of words has")
    try:
        tables = scipy.io.loadmat(io.BytesIO(data), variable_names=TABLES)
    except Exception as error:  # of a damaged file SciPy lets through whatever comes up
        raise ValueError(f"is no whole MATLAB file ({type(error).__name__})") from None
    table = next((tables[name] for name in TABLES if name in tables), None)
    if table is None or table.ndim != 2 or (table.size and table.shape[1] <= TEXT):
        raise ValueError(f"holds no table {' or '.join(TABLES)} of Total-Text's")
    return table


def _read_words(table, path, job):
    words = Words(path, job.findings)
    for number, row in enumerate(table, 1):
        text = "".join(map(str, np.ravel(row[TEXT])))
        words.add_parts(
            lambda row=row: [_points(row[X], row[Y])],
            f"{path} row {number}",
            text,
            text.strip() == "#",
        )
    return words.finish()


def _points(x, y):
    x, y = (np.ravel(axis).astype(np.float64) for axis in (x, y))
    if len(x) != len(y):
        raise ValueError(f"{len(x)} numbers in x and {len(y)} in y")
    return np.stack([x, y], 1)
