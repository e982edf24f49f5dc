"""The folder that is made: `images/`, a label file per split, and `prepared.csv`."""

import csv
import io
import json
import os
import re
import shutil
from typing import NamedTuple

import numpy as np

from ppocr_jax.annotations.division import TEST, TRAIN, VAL
from ppocr_jax.errors import UserError
from ppocr_jax.files import write_bytes

RECORD = "prepared.csv"
IMAGES = "images"
LONGEST_STEM = 150  # bytes of a file's name; systems take 255
ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\\/:*?\"<>|]")


class Row(NamedTuple):
    """A line of `prepared.csv`: what became of one picture.

    Attributes:
        source: the picture's path, or that of the label file where it is embedded.
        labels: label file, and place in it.
        picture: path below the folder; "" where it is left out.
        split: train, val or test; "" where it is left out.
        reason: why it is left out.
        words, ignored: how many to learn, how many to ignore.
        width, height: of the picture in the folder, pixels.
        group: what it belongs to, by the rule that was given.
        sha256: of the source.
        fingerprint: see `data.likeness`, in hexadecimal digits.
    """

    source: str
    labels: str = ""
    picture: str = ""
    split: str = ""
    reason: str = ""
    words: int = 0
    ignored: int = 0
    width: int = 0
    height: int = 0
    group: str = ""
    sha256: str = ""
    fingerprint: str = ""


def write_rows(path, rows):
    """Writes `prepared.csv`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode("utf-8", "backslashreplace"))


def read_rows(folder):
    """The rows of a folder's `prepared.csv`.

    Raises:
        UserError: there is none, or it is not as it was written.
    """
    path = folder / RECORD
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{folder}: has no {RECORD}, so that --add cannot continue it") from None
    except ValueError:
        raise UserError(f"{path}: is not UTF-8; it is not as it was written") from None
    rows = list(csv.DictReader(io.StringIO(text)))
    try:
        found = [Row(**row) for row in rows]
        for row in found:
            if row.picture:
                unpack(row.fingerprint)
                if row.split not in (TRAIN, VAL, TEST):
                    raise ValueError
    except (TypeError, ValueError):
        raise UserError(f"{path}: is not as prepare-data has written it; take it back") from None
    return found


def pack(fingerprint):
    """uint64 `[4]` as text."""
    return "".join(f"{int(word):016x}" for word in fingerprint)


def unpack(text):
    """Text as uint64 `[4]`. Raises ValueError: it is no fingerprint."""
    if len(text) != 64:
        raise ValueError(text)
    return np.array([int(text[i : i + 16], 16) for i in range(0, 64, 16)], np.uint64)


def label_line(picture, words, scale):
    """A line of a label file.

    Args:
        picture: path below the folder.
        words: list of `Word`.
        scale: (x, y), factors from the words' picture to the one in the folder.
    """
    entries = []
    for word in words:
        points = word.polygon * scale
        text = "###" if word.ignored else word.text
        entries.append({"transcription": text, "points": [list(map(_number, p)) for p in points]})
    plain = all(entry["transcription"].isprintable() for entry in entries)
    return f"{picture}\t{json.dumps(entries, ensure_ascii=not plain)}\n"


def _number(value):
    value = float(value)
    return int(value) if value == int(value) else value


class Names:
    """Names for pictures that no other has, whatever their letters' size, on any system."""

    def __init__(self, taken=()):
        self._taken = {name.casefold() for name in taken}

    def choose(self, source, ending):
        """A name with this ending, after that of a source."""
        last = re.split(r"[\\/]", source.strip())[-1]
        stem = ODD.sub("_", os.path.splitext(last)[0]).strip(" .") or "picture"
        stem = stem.encode()[:LONGEST_STEM].decode(errors="ignore")
        name, number = stem + ending, 1
        while name.casefold() in self._taken:
            number += 1
            name = f"{stem}-{number}{ending}"
        self._taken.add(name.casefold())
        return name


def carry_over(folder, target):
    """All of a folder in a new one, by links to the same files where the system can."""

    def link(source, place):
        if os.path.islink(source):
            os.symlink(os.readlink(source), place)
            return
        try:
            os.link(source, place)
        except OSError:
            shutil.copy2(source, place)

    shutil.copytree(folder, target, copy_function=link, symlinks=True, dirs_exist_ok=True)
