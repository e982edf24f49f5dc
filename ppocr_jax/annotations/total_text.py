"""Total-Text's own text files: `x: [[259 313 ...]], y: [[542 ...]], ornt: [u'c'], ...`."""

import pathlib
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ppocr_jax.annotations.gt_files import find_image
from ppocr_jax.annotations.records import LabelledImage, Word, Words
from ppocr_jax.data.labels import read_label_bytes

if TYPE_CHECKING:
    from ppocr_jax.annotations.sources import Job

START = re.compile(r"^\s*x:\s*\[\[", re.MULTILINE)
RECORD = re.compile(
    r"^\s*x:\s*\[\[(?P<x>[^\]]*)\]\]\s*,\s*y:\s*\[\[(?P<y>[^\]]*)\]\]", re.MULTILINE
)
TEXT = re.compile(
    r"transcriptions:\s*\[\s*u?(?P<quote>['\"])(?P<text>.*)(?P=quote)\s*,?\s*\]", re.S
)


class TOTAL_TEXT:
    """Reads Total-Text's .txt, see `annotations.TEXT_FORMATS`. The text `#` marks ignored words."""

    @staticmethod
    def fits(data: bytes) -> bool:
        """Whether a file begins with `x: [[`."""
        return re.match(rb"\s*x:\s*\[\[", data) is not None

    @staticmethod
    def read(paths: Iterable[pathlib.Path], job: "Job") -> Iterator[LabelledImage]:
        """Yields the image of every file."""
        for path in paths:
            text = read_label_bytes(path)[0].decode("utf-8", "replace")
            try:
                image_path = find_image(path, job)
                words = _read_words(text, path, job)
                yield LabelledImage(path.name, str(path), image_path, words)
            except ValueError as error:
                job.findings.refuse(path, error, path.stem)


def _read_words(text: str, path: pathlib.Path, job: "Job") -> list[Word]:
    """The words of a file. A record may span several lines, so records are cut at their start."""
    words = Words(path, job.findings)
    starts = [match.start() for match in START.finditer(text)] + [len(text)]
    for start, end in zip(starts, starts[1:], strict=False):
        where = f"{path} line {text.count(chr(10), 0, start) + 1}"
        part = text[start:end]
        points = RECORD.match(part)
        if points is None:
            job.findings.drop("x and y are not lists of numbers", where)
            continue
        x, y = (re.split(r"[\s,]+", points[axis].strip()) for axis in "xy")
        if len(x) != len(y):
            job.findings.drop(f"{len(x)} numbers in x and {len(y)} in y", where)
            continue
        found = TEXT.search(part)
        written = found["text"] if found else ""
        try:
            corners = [[float(a), float(b)] for a, b in zip(x, y, strict=True)]
        except ValueError:
            job.findings.drop("x and y are not lists of numbers", where)
            continue
        words.add(corners, written, ignored=written.strip() == "#")
    return words.finish()
