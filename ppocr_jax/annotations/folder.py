"""The folder of a data set: `images/`, a label file per split, and `prepared.csv`."""

import csv
import io
import json
import os
import pathlib
import re
import shutil
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ppocr_jax.annotations.division import TEST, TRAIN, VAL
from ppocr_jax.annotations.records import Word
from ppocr_jax.errors import UserError
from ppocr_jax.files import write_bytes

RECORD = "prepared.csv"
IMAGES = "images"
LONGEST_STEM = 150  # bytes of a file name; file systems allow 255
# Characters that some file system refuses, or that would break a line or a terminal.
ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\\/:*?\"<>|]")


class Row(NamedTuple):
    """A line of `prepared.csv`: what became of one image.

    Attributes:
        source: path of the image, or of the label file that it is embedded in.
        labels: the label file and the position in it.
        picture: path below the folder; "" if it was skipped.
        split: train, val or test; "" if it was skipped.
        reason: why it was skipped.
        words: number of words to learn.
        ignored: number of words to ignore.
        width: of the image in the folder, pixels.
        height: of the image in the folder, pixels.
        group: its key by the rule of `--groups`.
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


def write_rows(path: pathlib.Path, rows: Iterable[Row]) -> None:
    """Writes `prepared.csv`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(rows)
    # File names need not be UTF-8; their odd bytes are written as escapes.
    write_bytes(path, text.getvalue().encode("utf-8", "backslashreplace"))


def read_rows(folder: pathlib.Path) -> list[Row]:
    """The rows of a folder's `prepared.csv`; numbers stay text.

    Raises:
        UserError: there is no such file, or somebody changed it.
    """
    path = folder / RECORD
    try:
        # A spreadsheet that saved the file may have put a byte order mark in front.
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{folder}: has no {RECORD}, which --add needs") from None
    except ValueError:
        raise UserError(f"{path}: is no longer UTF-8; restore the file as it was written") from None
    rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(text)))
    try:
        found = [Row(**row) for row in rows]
        for row in found:
            if row.picture:
                unpack(row.fingerprint)
                if row.split not in (TRAIN, VAL, TEST):
                    raise ValueError
    except (TypeError, ValueError):
        raise UserError(
            f"{path}: is not as prepare-data wrote it; restore the file, or prepare a new folder"
        ) from None
    return found


def pack(fingerprint: np.ndarray) -> str:
    """A fingerprint, uint64 `[4]`, as 64 hexadecimal digits."""
    return "".join(f"{int(word):016x}" for word in fingerprint)


def unpack(text: str) -> np.ndarray:
    """64 hexadecimal digits as uint64 `[4]`. Raises ValueError: they are not a fingerprint."""
    if len(text) != 64:
        raise ValueError(text)
    return np.array([int(text[i : i + 16], 16) for i in range(0, 64, 16)], np.uint64)


def label_line(picture: str, words: Iterable[Word], scale: tuple[float, float]) -> str:
    """A line of a label file.

    Args:
        picture: path of the image below the folder.
        words: of the image.
        scale: (x, y), factors from the words' coordinates to those of the image in the folder.
    """
    entries: list[dict[str, Any]] = []
    for word in words:
        points = word.polygon * scale
        text = "###" if word.ignored else word.text
        entries.append({"transcription": text, "points": [list(map(_number, p)) for p in points]})
    # JSON escapes only where a raw character could break the line.
    plain = all(entry["transcription"].isprintable() for entry in entries)
    return f"{picture}\t{json.dumps(entries, ensure_ascii=not plain)}\n"


def _number(value: float) -> int | float:
    """A number without a needless `.0`."""
    value = float(value)
    return int(value) if value == int(value) else value


class Names:
    """Chooses file names that are unique on any system, whether or not it tells cases apart."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {name.casefold() for name in taken}

    def choose(self, source: str, ending: str) -> str:
        """A new name with this ending, derived from the name of a source."""
        last = re.split(r"[\\/]", source.strip())[-1]
        stem = ODD.sub("_", os.path.splitext(last)[0]).strip(" .") or "picture"
        stem = stem.encode()[:LONGEST_STEM].decode(errors="ignore")  # never half a character
        name, number = stem + ending, 1
        while name.casefold() in self._taken:
            number += 1
            name = f"{stem}-{number}{ending}"
        self._taken.add(name.casefold())
        return name


def carry_over(folder: pathlib.Path, target: pathlib.Path) -> None:
    """Copies a whole folder into a new one, as hard links where the system supports them."""

    def link(source: str, place: str) -> None:
        if os.path.islink(source):
            os.symlink(os.readlink(source), place)
            return
        try:
            os.link(source, place)
        except OSError:
            shutil.copy2(source, place)

    shutil.copytree(folder, target, copy_function=link, symlinks=True, dirs_exist_ok=True)
