"""One text file per image with comma-separated numbers: ICDAR and its relatives, CTW1500's test."""

import collections
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ppocr_jax.annotations.records import LabelledImage, Words
from ppocr_jax.data import icdar
from ppocr_jax.data.labels import read_label_bytes

if TYPE_CHECKING:
    from ppocr_jax.annotations.sources import Job

PREFIX = re.compile(r"^(poly_)?gt_", re.IGNORECASE)
FEWEST = 4  # numbers that begin a line in every variant: the shortest has two corners


class GT_FILES:
    """Reads ICDAR's gt files, see `annotations.TEXT_FORMATS`.

    There are several variants. A folder has one, which all its lines decide together.
    """

    @staticmethod
    def fits(data: bytes) -> bool:
        """Whether the first line that is not blank begins with numbers, as gt files do."""
        line = data.lstrip().partition(b"\n")[0].decode("utf-8", "replace").strip()
        # A text may begin with digits too: it follows a quote in ICDAR 2013, #### in CTW1500.
        fields = re.split(r"[,\s]+", line.partition('"')[0].partition("####")[0])
        fields = [field for field in fields if field]
        count = next((i for i, f in enumerate(fields) if not icdar.is_number(f)), len(fields))
        numbers = [float(field) for field in fields[:count]]
        # A class and four fractions are YOLO's, which name no image.
        yolo = line.count(",") < 3 and count == 5 and all(0 <= n <= 1 for n in numbers[1:])
        return count >= FEWEST and not yolo and ("," in line or '"' in line)

    @staticmethod
    def read(paths: Iterable[pathlib.Path], job: "Job") -> Iterator[LabelledImage]:
        """Yields the image of every file; an empty file is an image without text."""
        folders = collections.defaultdict(list)
        for path in paths:
            folders[path.parent].append(path)
        for folder, files in folders.items():
            yield from _read_folder(folder, files, job)


def _read_folder(
    folder: pathlib.Path, files: Sequence[pathlib.Path], job: "Job"
) -> Iterator[LabelledImage]:
    texts = {path: _lines(path) for path in files}
    form = icdar.settle([line for lines in texts.values() for _, line in lines])
    if form is None:
        reason = f"its lines are in none of the known forms: {icdar.KNOWN}"
        job.findings.refuse(folder, reason)
        return
    total = sum(map(len, texts.values()))
    job.say(f"{folder}: {form.name}, {total} lines")
    for path, lines in texts.items():
        try:
            image_path = find_image(path, job)
        except ValueError as error:
            job.findings.refuse(path, error, path.stem)
            continue
        words = Words(path, job.findings)
        for number, line in lines:
            try:
                word = form.read(line)
            except ValueError as error:
                job.findings.drop(f"{error}", f"{path} line {number}")
                continue
            words.add(word.points, word.written, word.ignore)
        try:
            yield LabelledImage(path.name, str(path), image_path, words.finish())
        except ValueError as error:
            job.findings.refuse(path, error, image_path)


def find_image(path: pathlib.Path, job: "Job") -> str:
    """Path of the image that a text file is named after, apart from its ending and a leading `gt_`.

    Leading zeros of a number may be missing: CTW1500 has `0001001.txt` for `1001.jpg`.

    Raises:
        ValueError: there is no such image, or several.
    """
    name = PREFIX.sub("", path.stem)
    try:
        return job.images.find(name, path.parent)
    except ValueError:
        if not (name.isdecimal() and name.startswith("0") and name.strip("0")):
            raise
        return job.images.find(name.lstrip("0"), path.parent)


def _lines(path: pathlib.Path) -> list[tuple[int, str]]:
    """`(number, text)` of the lines that are not blank."""
    data, _ = read_label_bytes(path)
    lines = [line.decode("utf-8", "replace") for line in data.splitlines()]
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
