"""What readers give: pictures with their words, and what they could not take."""

import collections
import dataclasses
import re
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import shapely

from ppocr_jax.data.label_polygons import as_polygon, require_few
from ppocr_jax.data.marks import is_mark
from ppocr_jax.errors import first_line

# Classes and flags that say "do not learn, do not judge", letters alone.
MARKS = frozenset(
    "ignore ignored difficult dontcare donotcare illegible illegibility unreadable notlegible "
    "notreadable iscrowd".split()
)
LEGIBLE = frozenset("legible readable".split())  # flags that say the same when they are off
# What comes up where a file has another kind of value than its tool writes.
MALFORMED = (ValueError, TypeError, LookupError, AttributeError, OverflowError, cv2.error)

FLAT = 1e-6  # square pixels: points on one line


class Word(NamedTuple):
    """polygon: float64 `[P, 2]`, (x, y) in pixels; text: "" if unknown; ignored: not to learn."""

    polygon: np.ndarray
    text: str
    ignored: bool


@dataclasses.dataclass
class Labelled:
    """A picture with its labels.

    Attributes:
        name: of the picture, as the label file has it.
        where: label file, and place in it.
        path: of the picture; "" where it is embedded in the label file.
        words: list of `Word`.
        size: (height, width) that the labels are meant for; None where the format states none.
        stretches: whether the labels are shares of the sides, so that they fit any size.
        embedded: gives the bytes of a picture that the label file holds; None without one.
    """

    name: str
    where: str
    path: str
    words: list[Word]
    size: tuple[int, int] | None = None
    stretches: bool = False
    embedded: Callable[[], bytes] | None = None


class Refusal(NamedTuple):
    """A picture, or a label file, that cannot be taken, and why."""

    where: str
    name: str
    reason: str


class Findings:
    """What is said about the labels.

    Attributes:
        refusals: list of `Refusal`.
        broken: whether words had to be left out because they are damaged.
    """

    def __init__(self):
        self.refusals, self.broken, self._lines = [], False, []
        self._counts, self._first = collections.Counter(), {}

    def refuse(self, where, reason, name=""):
        """Notes a picture, or a label file, that is not taken."""
        self.refusals.append(Refusal(str(where), name, str(reason)))

    def say(self, line):
        """Adds a line that is said once."""
        self._lines.append(line)

    def count(self, kind, where):
        """Counts something that is said once, with the first place."""
        self._counts[kind] += 1
        self._first.setdefault(kind, str(where))

    def drop(self, reason, where):
        """Counts a word that is left out because nothing can be made of it."""
        self.broken = True
        self.count(f"labels left out: {reason}", where)

    def lines(self):
        """A line per kind."""
        counts = self._counts.items()
        counted = [f"{kind}: {count} (first: {self._first[kind]})" for kind, count in counts]
        return counted + self._lines


class Words:
    """Collects the words of one picture, and leaves out, with a line, what is no polygon."""

    def __init__(self, where, findings):
        self._where, self._findings = where, findings
        self.words = []

    def add(self, points, text="", ignored=False):
        """A polygon as the file has it."""
        try:
            as_polygon(points)
        except ValueError as error:
            return self._findings.drop(str(error), self._where)
        polygon = np.array(points, np.float64)
        if shapely.MultiPoint(polygon).convex_hull.area < FLAT:
            return self._findings.drop("a polygon without area", self._where)
        text = text if isinstance(text, str) else "" if text is None else str(text)
        self.words.append(Word(polygon, text, bool(ignored) or is_mark(text)))

    def add_parts(self, read, where, text="", ignored=False):
        """The polygons of one region, usually one; of a mask of several parts, a word each.

        Args:
            read: gives them, or raises one of MALFORMED, with which the region is left out.
            where: the region stands.
            text, ignored: of all of them.
        """
        try:
            polygons = read()
        except MALFORMED as error:
            self._findings.drop(said(error), where)
            return
        if len(polygons) > 1:
            several = "masks of several words, far apart, of which each part is a word"
            self._findings.count(several, where)
        for polygon in polygons:
            self.add(polygon, text, ignored)

    def finish(self):
        """All words. Raises ValueError: they are too many to be meant."""
        require_few([word.polygon for word in self.words])
        return self.words


def says_ignored(label):
    """Whether a class, a flag or a text is one of the marks of what is not to be learned."""
    if not isinstance(label, str):
        return False
    return is_mark(label) or _letters(label) in MARKS


def _letters(name):
    return re.sub("[^a-z]", "", name.casefold()) if isinstance(name, str) else ""


def flags_ignored(flags, texts=()):
    """Whether flags or attributes say so: `difficult: true`, `legible: false`, `state: ignore`.

    Args:
        flags: a mapping as the file has it, or anything else for none.
        texts: keys whose values are texts and no words on them.
    """
    if not isinstance(flags, dict):
        return False
    return any(
        (says_ignored(key) and is_set(value))
        or (_letters(key) in LEGIBLE and is_off(value))
        or (key not in texts and isinstance(value, str) and _letters(value) in MARKS)
        for key, value in flags.items()
    )


def is_off(value):
    """Whether a flag is off, and not just missing: false, 0, "0", "false", "no"."""
    if isinstance(value, str):
        return value.strip().casefold() in ("0", "false", "no", "off")
    return value is False or (isinstance(value, (int, float)) and value == 0)


def is_set(value):
    """Whether a flag is on, as tools write it: true, 1, "1", "true", "yes"."""
    if isinstance(value, str):
        return value.strip().casefold() in ("1", "true", "yes", "on")
    return value is True or (isinstance(value, (int, float)) and value == 1)


def size_of(height, width):
    """`(height, width)` where both are whole and positive, else None."""
    for side in (height, width):
        if isinstance(side, bool) or not isinstance(side, (int, float)) or not 1 <= side < 1e6:
            return None
    return int(height), int(width)


def counted(number, noun):
    """`1 picture`, `2 pictures`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def said(error):
    """A reason from what came up: a ValueError is worded for people, others are not."""
    if isinstance(error, ValueError):
        return str(error)
    return f"is not as its tool writes it ({first_line(error)})"
