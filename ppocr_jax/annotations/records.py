"""What every reader returns: images with their words, and what could not be used."""

import collections
import dataclasses
import os
import re
from collections.abc import Callable, Container, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import shapely

from ppocr_jax.data.label_polygons import as_polygon, require_few
from ppocr_jax.data.marks import is_mark
from ppocr_jax.errors import first_line

# Classes and flags that mean "neither train on this nor score it", reduced to their letters.
MARKS = frozenset(
    "ignore ignored difficult dontcare donotcare illegible illegibility unreadable notlegible "
    "notreadable iscrowd".split()
)
LEGIBLE = frozenset("legible readable".split())  # flags that mean the same when they are off
# What a reader may raise when a value has another type than its tool would write.
MALFORMED = (ValueError, TypeError, LookupError, AttributeError, OverflowError, cv2.error)

FLAT = 1e-6  # square pixels: below this area all points lie on one line


class Word(NamedTuple):
    """One labelled word.

    Attributes:
        polygon: float64 `[P, 2]`, (x, y) in pixels.
        text: "" if unknown.
        ignored: whether to leave it out of training and scores.
    """

    polygon: np.ndarray
    text: str
    ignored: bool


@dataclasses.dataclass
class LabelledImage:
    """An image with its labels.

    Attributes:
        name: the image's name as the label file has it.
        where: the label file and the position in it, for messages.
        path: path of the image; "" if it is embedded in the label file.
        words: its words.
        size: (height, width) of the image that was labelled; None if the format does not say.
        stretches: whether labels are fractions of the sides, and so fit any size.
        embedded: returns the bytes of an image embedded in the label file; None if there is none.
    """

    name: str
    where: str
    path: str
    words: list[Word]
    size: tuple[int, int] | None = None
    stretches: bool = False
    embedded: Callable[[], bytes] | None = None


class Refusal(NamedTuple):
    """An image or a label file that cannot be used, and why."""

    where: str
    name: str
    reason: str


class Findings:
    """Problems with the labels, collected for the summary.

    Attributes:
        refusals: the images and label files that cannot be used.
        broken: whether damaged words were skipped.
    """

    def __init__(self) -> None:
        self.refusals: list[Refusal] = []
        self.broken = False
        self._lines: list[str] = []
        self._counts: collections.Counter[str] = collections.Counter()
        self._first: dict[str, str] = {}

    def refuse(self, where: str | os.PathLike[str], reason: object, name: str = "") -> None:
        """Records an image or a label file that is not used."""
        self.refusals.append(Refusal(str(where), name, str(reason)))

    def say(self, line: str) -> None:
        """Adds a line of its own."""
        self._lines.append(line)

    def count(self, kind: str, where: str | os.PathLike[str]) -> None:
        """Counts one case of `kind`; the summary has a line per kind, with the first place."""
        self._counts[kind] += 1
        self._first.setdefault(kind, str(where))

    def drop(self, reason: object, where: str | os.PathLike[str]) -> None:
        """Counts a word that is skipped because it cannot be used."""
        self.broken = True
        self.count(f"labels skipped: {reason}", where)

    def lines(self) -> list[str]:
        """One line per kind."""
        counts = self._counts.items()
        counted = [f"{kind}: {count} (first: {self._first[kind]})" for kind, count in counts]
        return counted + self._lines


class Words:
    """Collects the words of one image; what is not a polygon is skipped and reported."""

    def __init__(self, where: str | os.PathLike[str], findings: Findings) -> None:
        self._where, self._findings = where, findings
        self.words: list[Word] = []

    def add(self, points: Any, text: Any = "", ignored: bool = False) -> None:
        """Adds one word; `points` and `text` may be anything that a file can hold."""
        try:
            as_polygon(points)
        except ValueError as error:
            return self._findings.drop(str(error), self._where)
        polygon = np.array(points, np.float64)
        if shapely.MultiPoint(polygon).convex_hull.area < FLAT:
            return self._findings.drop("a polygon without area", self._where)
        text = text if isinstance(text, str) else "" if text is None else str(text)
        self.words.append(Word(polygon, text, bool(ignored) or is_mark(text)))

    def add_parts(
        self, read: Callable[[], Sequence[Any]], where: str, text: Any = "", ignored: bool = False
    ) -> None:
        """Adds the polygons of one region: usually one; of a mask in several parts, a word each.

        Args:
            read: returns the polygons, or raises one of MALFORMED, and then the region is skipped.
            where: the region's position, for messages.
            text: text of all of them.
            ignored: whether all of them are ignored.
        """
        try:
            polygons = read()
        except MALFORMED as error:
            self._findings.drop(reason_of(error), where)
            return
        if len(polygons) > 1:
            several = "masks in several parts far apart; each part became a word"
            self._findings.count(several, where)
        for polygon in polygons:
            self.add(polygon, text, ignored)

    def finish(self) -> list[Word]:
        """All words. Raises ValueError: there are too many to be real labels."""
        require_few([word.polygon for word in self.words])
        return self.words


def says_ignored(label: Any) -> bool:
    """Whether a class, a flag or a text means that the word is ignored."""
    if not isinstance(label, str):
        return False
    return is_mark(label) or _letters(label) in MARKS


def _letters(name: Any) -> str:
    return re.sub("[^a-z]", "", name.casefold()) if isinstance(name, str) else ""


def flags_ignored(flags: Any, texts: Container[str] = ()) -> bool:
    """Whether flags or attributes say so: `difficult: true`, `legible: false`, `state: ignore`.

    Args:
        flags: a mapping as the file has it; anything else counts as no flags.
        texts: keys whose values are transcriptions rather than flags.
    """
    if not isinstance(flags, dict):
        return False
    return any(
        (says_ignored(key) and is_on(value))
        or (_letters(key) in LEGIBLE and is_off(value))
        or (key not in texts and isinstance(value, str) and _letters(value) in MARKS)
        for key, value in flags.items()
    )


def is_off(value: Any) -> bool:
    """Whether a flag is off, rather than missing: false, 0, "0", "false", "no"."""
    if isinstance(value, str):
        return value.strip().casefold() in ("0", "false", "no", "off")
    return value is False or (isinstance(value, (int, float)) and value == 0)


def is_on(value: Any) -> bool:
    """Whether a flag is on in any of the spellings that tools use: true, 1, "1", "true", "yes"."""
    if isinstance(value, str):
        return value.strip().casefold() in ("1", "true", "yes", "on")
    return value is True or (isinstance(value, (int, float)) and value == 1)


def size_of(height: Any, width: Any) -> tuple[int, int] | None:
    """`(height, width)` if both are plausible numbers of pixels, else None."""
    for side in (height, width):
        if isinstance(side, bool) or not isinstance(side, (int, float)) or not 1 <= side < 1e6:
            return None
    return int(height), int(width)


def reason_of(error: BaseException) -> str:
    """An exception as a reason: a ValueError is already worded for people, others are not."""
    if isinstance(error, ValueError):
        return str(error)
    return f"not in the form its tool writes ({first_line(error)})"
