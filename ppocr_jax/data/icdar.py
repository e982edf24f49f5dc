"""The forms of ICDAR's `gt_*.txt`: which one a folder has, settled once from all its lines.

A line alone can be read in several ways: `...,36,000,000` is a text or further points,
`...,Latin,###` a text or a language with the mark. All lines of a folder together tell:

* Four points (8 numbers) are what such files hold. Other counts are believed where no line has
  the 8 or 9 numbers of a quad with an ordinary text, all have the same count, and the points are
  outlines: at least `SURE` lines of them, or `MANY` points; of 5 or 6 points without text, which
  may be quads with numbers as their text, at least `CERTAIN` lines, and all. 32 numbers whose last
  28 are offsets within the box of the first four are CTW1500's.
* Different counts in one folder (as in Total-Text) are believed where at least `SURE` lines
  and more than `FEW` of all are outlines of another count than four with whole points before a
  text that is no number; or where `####` stands between points and text. A quad whose text
  begins with numbers gives a point far away from it or edges that cross, mostly. Where there are
  such lines but too few of them, they are refused: quotes around a text settle it.
* Boxes of two corners are believed with quotes around the text alone, as ICDAR 2013 has them:
  without them, four numbers may as well be x, y, width, height.
* A language stands before the text where most lines have a known one there, or where it is one
  of few words on many lines. A text is there, or is not, as on most lines.

What most lines do not share is refused line by line.
"""

import collections
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import shapely

from ppocr_jax.data.marks import is_mark

KNOWN = (
    "x1,y1,...,x4,y4,text (with a language before the text, or without text; as many points on "
    "every line), CTW1500's box with 14 offsets, or ICDAR 2013's x1 y1 x2 y2 \"text\""
)
SURE = 3  # lines of another count than four points that prove it
MANY = 7  # points that no text of numbers after four points looks like
CERTAIN = 20  # lines of 5 or 6 points without text that prove it, if all are outlines
FEW = 0.02  # share of lines that proves nothing: broken ones, texts that look like points
VOCABULARY = 20  # lines per word of a column that is taken for languages

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
SEPARATOR = "####"

LANGUAGES = frozenset(
    "latin arabic chinese japanese korean bangla bengali hindi devanagari symbol symbols mixed "
    "none english french german italian spanish portuguese russian cyrillic greek hebrew thai "
    "tamil telugu kannada malayalam gujarati gurmukhi punjabi oriya odia marathi assamese urdu "
    "persian vietnamese turkish tibetan mongolian uyghur khmer lao burmese sinhala georgian "
    "armenian kazakh number numbers digit digits other others unknown multi "
    "en zh ch cn ja jp ko kr fr de it es pt ru ar hi bn ta te th vi".split()
)


class Word(NamedTuple):
    """points: float64 `[P, 2]`; written: the text as it stands; ignore: whether it is marked."""

    points: np.ndarray
    written: str
    ignore: bool


class Form(NamedTuple):
    """name: for people; read: `line -> Word`, which raises ValueError where the line differs."""

    name: str
    read: Callable[[str], Word]


class Line(NamedTuple):
    """fields: between commas; count: how many leading ones are numbers; ends: whether all are."""

    fields: list[str]
    count: int
    ends: bool

    @classmethod
    def of(cls, text):
        fields = text.split(",")
        count = next((i for i, f in enumerate(fields) if not is_number(f)), len(fields))
        return cls(fields, count, count == len(fields))

    def points(self, number):
        """The leading points, float64 `[number, 2]`."""
        return np.array([float(f) for f in self.fields[: 2 * number]]).reshape(-1, 2)


def is_number(field):
    """Whether a field is a decimal number. Python's own test takes `1_000` and other digits too."""
    return NUMBER.fullmatch(field.strip()) is not None


def settle(texts):
    """The `Form` of a folder, or None where most of its lines fit none.

    Args:
        texts: all lines of the folder that are not blank.
    """
    lines = [Line.of(text) for text in texts]
    for form in (_separated(texts), _boxes(texts), _offsets(lines)):
        if form:
            return form
    return _points(lines)


def _most(flags):
    flags = list(flags)
    return 2 * sum(flags) > len(flags)


def _word(points, text, ignore=False):
    return Word(points, text.strip(), ignore or is_mark(text))


# --- points, `####`, text -----------------------------------------------------------------------


def _separated(texts):
    """`x1,y1,...,####text`, as other tools write Total-Text and CTW1500; any number of points."""

    def parts(text):
        head, separator, rest = text.partition(SEPARATOR)
        head, comma, blank = head.rpartition(",")
        line = Line.of(head)
        fits = separator and comma and not blank.strip() and line.ends
        return (line, rest) if fits and line.count % 2 == 0 and line.count >= 6 else None

    found = [parts(text) for text in texts]
    if not _most(bool(part) for part in found):
        return None
    if all(not part[1].strip("# \t") for part in found if part):
        return None  # no text after it: these are marks

    def read(text):
        part = parts(text)
        if not part:
            raise ValueError("has no whole points before ####, where the folder's other lines do")
        line, rest = part
        return _word(line.points(line.count // 2), rest, ignore=not rest.strip())

    return Form("points, ####, text", read)


# --- two corners and a text in quotes -----------------------------------------------------------


def _boxes(texts):
    """ICDAR 2013: `x1 y1 x2 y2 "text"`, with blanks or commas between them."""

    def box(text):
        head, _, rest = text.partition('"')
        numbers = head.replace(",", " ").split()
        if len(numbers) != 4 or not all(map(is_number, numbers)) or not rest.strip().endswith('"'):
            return None
        left, top, right, bottom = map(float, numbers)
        return (left, top, right, bottom, '"' + rest) if left < right and top < bottom else None

    if not _most(box(text) is not None for text in texts):
        return None

    def read(text):
        found = box(text)
        if found is None:
            raise ValueError('is no x1 y1 x2 y2 "text", as the folder\'s other lines are')
        left, top, right, bottom, rest = found
        corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
        return _word(np.array(corners), rest)

    return Form("2 corners, text", read)


# --- CTW1500's own ------------------------------------------------------------------------------


def _offsets(lines):
    """CTW1500: a box and 14 points as offsets from its first corner; a text may follow."""
    if not _most(line.count >= 32 and _is_boxed(line) for line in lines):
        return None
    has_text = _most(len(line.fields) > 32 for line in lines)

    def read(text):
        line = Line.of(text)
        if line.count < 32:
            raise ValueError(f"{line.count} numbers, where the folder's other lines have 32")
        if (len(line.fields) > 32) != has_text:
            raise ValueError(_text_differs(32, has_text))
        points = line.points(16)
        return _word(points[0] + points[2:], ",".join(line.fields[32:]))

    return Form("box and 14 offsets" + ", text" * has_text, read)


def _is_boxed(line):
    points, slack = line.points(16), 5  # pixels: some labels of CTW1500 are a little off
    if not np.isfinite(points).all():
        return False
    size, offsets = points[1] - points[0], points[2:]
    return bool((size > 0).all() and (offsets >= -slack).all() and (offsets <= size + slack).all())


# --- points, then perhaps a language, then perhaps a text ---------------------------------------


class Points(NamedTuple):
    """number: of every line, or None; text: whether there is one; doubted: see below.

    Lines that may be an outline of another number are refused where `doubted` holds their `ends`.
    """

    number: int | None
    text: bool
    doubted: tuple[bool, ...] = ()


def _points(lines):
    """The form of a folder whose lines begin with the points themselves."""
    points = _count_points(lines)
    fitting = [line for line in lines if _misfit(line, points) is None]
    if not _most(line.count >= 6 for line in lines):
        return None
    if not fitting and all(line.count < 8 for line in lines):
        return None
    column = _column([_rest(line, points) for line in fitting]) if points.text else ""
    name = f"{points.number} points" if points.number else "different numbers of points"
    name += f", {column}" * bool(column) + ", text" * points.text

    def read(text):
        line = Line.of(text)
        reason = _misfit(line, points)
        if reason:
            raise ValueError(reason)
        first, *others = rest = _rest(line, points) or [""]
        corners = line.points(points.number or line.count // 2)
        if not column:
            return _word(corners, ",".join(rest))
        if not others:
            raise ValueError(f"has no {column} before the text, where the other lines have one")
        if column == "difficult" and first.strip() not in ("0", "1"):
            raise ValueError(f"`{first}` stands where the other lines say 0 or 1 (difficult)")
        return _word(corners, ",".join(others), column == "difficult" and first.strip() == "1")

    return Form(name, read)


def _count_points(lines):
    """`Points` of all lines, by the rules at the top."""
    bare = [line for line in lines if line.ends and line.count % 2 == 0]
    text = 2 * sum(line.count == 8 or _is_outline(line) for line in bare) <= len(lines)
    candidates = [line for line in lines if not line.ends] if text else bare
    others = [line for line in candidates if _is_other(line)]
    quads, few = sum(line.count in (8, 9) for line in lines), FEW * len(lines)
    counts = collections.Counter(line.count // 2 for line in others)
    if not others:
        return Points(4, text)
    (number, same), *_ = counts.most_common(1)
    alike = sum(line.count == 2 * number for line in candidates)
    if not text and quads <= few and number < MANY and not CERTAIN <= alike == same:
        return Points(4, True, (True, False))  # each may be a quad with numbers as its text
    if quads <= few and len(others) - same <= few and (same >= SURE or number >= MANY):
        return Points(number, text)
    if len(others) >= SURE and len(others) > few:
        return Points(None, text)
    return Points(4, text, (not text,))


def _is_other(line):
    """Whether a line is whole points of another number than four, and they are an outline."""
    return line.count % 2 == 0 and line.count != 8 and _is_outline(line)


def _is_outline(line):
    """Whether the leading points are at least three, do not cross and lie near one another."""
    number = line.count // 2
    return number >= 3 and _is_near(line) and shapely.Polygon(line.points(number)).is_valid


def _is_near(line):
    """Whether no point is further from the first four than twice their longer side."""
    points = line.points(line.count // 2)
    if not np.isfinite(points).all():
        return False
    low, high = points[:4].min(0), points[:4].max(0)
    reach = 2 * (high - low).max()
    return bool((points >= low - reach).all() and (points <= high + reach).all())


def _misfit(line, points):
    """Why a line does not fit what most lines have, or None."""
    number = points.number or max(3, line.count // 2)
    if line.count < 2 * number:
        return f"{line.count} leading numbers; {number} points need {2 * number}"
    # A number as text needs the outline as a proof of where it begins.
    if points.number is None and not (_is_outline if line.count % 2 else _is_near)(line):
        return f"{line.count} numbers are no outline; put a text that begins with one in quotes"
    many = number == 4 and line.count >= 2 * MANY and _is_outline(line)
    if many or line.ends in points.doubted and _is_other(line):
        return (
            f"{line.count} numbers may be {line.count // 2} points, or 4 and a text that begins "
            "with numbers: put the text in quotes"
        )
    if (len(line.fields) > 2 * number) != points.text:
        return _text_differs(line.count, points.text)
    return None


def _text_differs(count, has_text):
    most = "have a text" if has_text else "have none"
    return f"{count} numbers and {'no' if has_text else 'a'} text, where most lines {most}"


def _rest(line, points):
    """The fields after the points."""
    return line.fields[2 * (points.number or line.count // 2) :]


def _column(rests):
    """What stands between points and text: "language", "difficult" (RCTW's 0 or 1), or ""."""
    words = [rest[0].strip().casefold() for rest in rests if len(rest) > 1]
    if 2 * sum(word in LANGUAGES for word in words) > len(rests):
        return "language"
    pairs = ((rest[0].strip(), ",".join(rest[1:]).strip()) for rest in rests)
    if _most(first in ("0", "1") and text[:1] == text[-1:] == '"' for first, text in pairs):
        return "difficult"
    few = words and len(words) == len(rests) and len(words) >= VOCABULARY * len(set(words))
    return "language" if few and not any(map(is_number, words)) else ""
