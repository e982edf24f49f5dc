"""A text file per picture with numbers between commas: ICDAR and its kin, CTW1500's test set."""

import collections
import re

from ppocr_jax.annotations.records import Labelled, Words
from ppocr_jax.data import icdar
from ppocr_jax.data.labels import read_label_bytes

PREFIX = re.compile(r"^(poly_)?gt_", re.IGNORECASE)
FEWEST = 4  # leading numbers of a line of any of the forms


class GT_FILES:
    """See `annotations.TEXT_FORMATS`. A folder has one form, which its lines settle together."""

    @staticmethod
    def fits(data):
        """Whether the first line with something in it begins with numbers as such a file does."""
        line = data.lstrip().partition(b"\n")[0].decode("utf-8", "replace").strip()
        fields = re.split(r"[,\s]+", line.partition('"')[0].partition("####")[0])
        fields = [field for field in fields if field]
        count = next((i for i, f in enumerate(fields) if not icdar.is_number(f)), len(fields))
        numbers = [float(field) for field in fields[:count]]
        shares = line.count(",") < 3 and count == 5 and all(0 <= n <= 1 for n in numbers[1:])
        return count >= FEWEST and not shares and ("," in line or '"' in line)

    @staticmethod
    def read(paths, job):
        """`Labelled` of every file; an empty file is a picture without text."""
        folders = collections.defaultdict(list)
        for path in paths:
            folders[path.parent].append(path)
        for folder, files in folders.items():
            yield from _read_folder(folder, files, job)


def _read_folder(folder, files, job):
    texts = {path: _lines(path) for path in files}
    form = icdar.settle([line for lines in texts.values() for _, line in lines])
    if form is None:
        reason = f"the folder has none of the forms that are known: {icdar.KNOWN}"
        job.findings.refuse(folder, reason)
        return
    total = sum(map(len, texts.values()))
    job.say(f"{folder}: {form.name}, {total} lines")
    for path, lines in texts.items():
        try:
            picture = find_picture(path, job)
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
            yield Labelled(path.name, str(path), picture, words.finish())
        except ValueError as error:
            job.findings.refuse(path, error, picture)


def find_picture(path, job):
    """The picture of a text file, named as it is but for the ending and a leading `gt_`; zeros
    before its number may be missing (CTW1500 has `0001001.txt` for `1001.jpg`)."""
    name = PREFIX.sub("", path.stem)
    try:
        return job.pictures.find(name, path.parent)
    except ValueError:
        if not (name.isdecimal() and name.startswith("0") and name.strip("0")):
            raise
        return job.pictures.find(name.lstrip("0"), path.parent)


def _lines(path):
    """`(number, text)` of the lines that are not blank."""
    data, _ = read_label_bytes(path)
    lines = [line.decode("utf-8", "replace") for line in data.splitlines()]
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
