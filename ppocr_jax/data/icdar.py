"""The line formats of ICDAR's `gt_*.txt`: decided once per folder, from all its lines.

A single line is often ambiguous: in `...,36,000,000` the end is a text or two more points, in
`...,Latin,###` it is a text or a language and an ignore mark. All lines together decide:

* The usual format has four points (8 numbers). Another number of points is accepted if no line has
  the 8 or 9 numbers of a quad with an ordinary text, all lines have the same number, and the points
  form outlines. This takes at least `SURE` such lines, or `MANY` points. Lines of 5 or 6 points
  without a text may be quads whose text is numbers; at least `CERTAIN` lines are needed then, and
  all of them. 32 numbers whose last 28 are offsets inside the box of the first four are CTW1500's.
* Different numbers of points in one folder (as in Total-Text) are accepted if at least `SURE`
  lines, and more than a share `FEW` of all, are outlines of another number of points than four,
  followed by a text that is not a number; or if `####` separates points and text. This works
  because a quad whose text begins with numbers usually gives a point far away from it, or edges
  that cross. If there are such lines, but too few, they are refused: quotes around the text help.
* Boxes of two corners are accepted only with quotes around the text, as in ICDAR 2013: without
  quotes, the four numbers may also be x, y, width, height.
* A language precedes the text if most lines have a known language there, or if that column has few
  different words on many lines. Whether there is a text at all is decided by most lines.

Lines that differ from most others are refused one by one.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import shapely

from ppocr_jax.data.marks import is_mark

if TYPE_CHECKING:
    from jaxtyping import Float64

KNOWN = (
    "x1,y1,...,x4,y4,text (with a language before the text, or without text; as many points on "
    "every line), CTW1500's box with 14 offsets, or ICDAR 2013's x1 y1 x2 y2 \"text\""
)
SURE = 3  # lines that prove another number of points than four
MANY = 7  # points: no quad with a text of numbers looks like so many
CERTAIN = 20  # lines that prove 5 or 6 points without a text, if all are outlines
FEW = 0.02  # share of lines that proves nothing: broken lines, texts that look like points
VOCABULARY = 20  # lines per different word in a column of languages

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
    """A word of a label file.

    Attributes:
        points: float64 `[P, 2]`, (x, y) in pixels.
        written: the text exactly as written.
        ignore: whether the text is the ignore mark.
    """

    points: Float64[np.ndarray, "P 2"]
    written: str
    ignore: bool


class Form(NamedTuple):
    """A line format.

    Attributes:
        name: for people.
        read: `line -> Word`; raises ValueError with a reason if the line has another format.
    """

    name: str
    read: Callable[[str], Word]


class Line(NamedTuple):
    """A line split at its commas.

    Attributes:
        fields: what is between the commas.
        numbers: how many leading fields are numbers.
        ends: whether all fields are numbers.
    """

    fields: list[str]
    numbers: int
    ends: bool

    @classmethod
    def of(cls, text: str) -> Line:
        """Splits a line."""
        fields = text.split(",")
        count = next((i for i, f in enumerate(fields) if not is_number(f)), len(fields))
        return cls(fields, count, count == len(fields))

    def points(self, number: int) -> Float64[np.ndarray, "number 2"]:
        """The first `number` points."""
        return np.array([float(f) for f in self.fields[: 2 * number]]).reshape(-1, 2)


def is_number(field: str) -> bool:
    """Whether a field is a decimal number; `float` would take `1_000` and other digits."""
    return NUMBER.fullmatch(field.strip()) is not None


def settle(texts: Sequence[str]) -> Form | None:
    """The format of a folder; None if most of its lines are in no known format.

    Args:
        texts: all lines of the folder that are not blank.
    """
    lines = [Line.of(text) for text in texts]
    for form in (_separated(texts), _boxes(texts), _offsets(lines)):
        if form:
            return form
    return _points(lines)


def _most(flags: Iterable[bool]) -> bool:
    """Whether more than half are true."""
    flags = list(flags)
    return 2 * sum(flags) > len(flags)


def _word(points: np.ndarray, text: str, ignore: bool = False) -> Word:
    return Word(points, text.strip(), ignore or is_mark(text))


# --- points, `####`, text -----------------------------------------------------------------------


def _separated(texts: Sequence[str]) -> Form | None:
    """`x1,y1,...,####text`, as other tools write Total-Text and CTW1500; any number of points."""

    def parts(text: str) -> tuple[Line, str] | None:
        head, separator, rest = text.partition(SEPARATOR)
        head, comma, blank = head.rpartition(",")
        line = Line.of(head)
        fits = bool(separator and comma) and not blank.strip() and line.ends
        return (line, rest) if fits and line.numbers % 2 == 0 and line.numbers >= 6 else None

    found = [parts(text) for text in texts]
    if not _most(bool(part) for part in found):
        return None
    if all(not part[1].strip("# \t") for part in found if part):
        return None  # nothing after it: these are ignore marks, not separators

    def read(text: str) -> Word:
        part = parts(text)
        if not part:
            raise ValueError("has no complete points before ####, unlike the folder's other lines")
        line, rest = part
        return _word(line.points(line.numbers // 2), rest, ignore=not rest.strip())

    return Form("points, ####, text", read)


# --- two corners and a text in quotes -----------------------------------------------------------


def _boxes(texts: Sequence[str]) -> Form | None:
    """ICDAR 2013: `x1 y1 x2 y2 "text"`, separated by blanks or commas."""

    def box(text: str) -> tuple[float, float, float, float, str] | None:
        head, _, rest = text.partition('"')
        numbers = head.replace(",", " ").split()
        if len(numbers) != 4 or not all(map(is_number, numbers)) or not rest.strip().endswith('"'):
            return None
        left, top, right, bottom = map(float, numbers)
        return (left, top, right, bottom, '"' + rest) if left < right and top < bottom else None

    if not _most(box(text) is not None for text in texts):
        return None

    def read(text: str) -> Word:
        found = box(text)
        if found is None:
            raise ValueError('is not x1 y1 x2 y2 "text", unlike the folder\'s other lines')
        left, top, right, bottom, rest = found
        corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
        return _word(np.array(corners), rest)

    return Form("2 corners, text", read)


# --- CTW1500's own ------------------------------------------------------------------------------


def _offsets(lines: Sequence[Line]) -> Form | None:
    """CTW1500: a box, and 14 points as offsets from its first corner; a text may follow."""
    if not _most(line.numbers >= 32 and _is_boxed(line) for line in lines):
        return None
    has_text = _most(len(line.fields) > 32 for line in lines)

    def read(text: str) -> Word:
        line = Line.of(text)
        if line.numbers < 32:
            raise ValueError(f"{line.numbers} numbers, but the folder's other lines have 32")
        if (len(line.fields) > 32) != has_text:
            raise ValueError(_text_differs(32, has_text))
        points = line.points(16)
        return _word(points[0] + points[2:], ",".join(line.fields[32:]))

    return Form("box and 14 offsets" + ", text" * has_text, read)


def _is_boxed(line: Line) -> bool:
    """Whether the first two points are a box and the other 14 are offsets inside it."""
    points, slack = line.points(16), 5  # pixels: some labels of CTW1500 are slightly outside
    if not np.isfinite(points).all():
        return False
    size, offsets = points[1] - points[0], points[2:]
    return bool((size > 0).all() and (offsets >= -slack).all() and (offsets <= size + slack).all())


# --- points, then perhaps a language, then perhaps a text ---------------------------------------


class Points(NamedTuple):
    """How the lines of a folder begin.

    Attributes:
        number: points on every line; None if it differs.
        text: whether a text follows.
        doubted: values of `Line.ends` for which a line is refused if it may also be an outline of
            another number of points.
    """

    number: int | None
    text: bool
    doubted: tuple[bool, ...] = ()


def _points(lines: Sequence[Line]) -> Form | None:
    """The format of a folder whose lines begin with the points themselves."""
    points = _count_points(lines)
    fitting = [line for line in lines if _misfit(line, points) is None]
    if not _most(line.numbers >= 6 for line in lines):
        return None
    if not fitting and all(line.numbers < 8 for line in lines):
        return None
    column = _column([_rest(line, points) for line in fitting]) if points.text else ""
    name = f"{points.number} points" if points.number else "different numbers of points"
    name += f", {column}" * bool(column) + ", text" * points.text

    def read(text: str) -> Word:
        line = Line.of(text)
        reason = _misfit(line, points)
        if reason:
            raise ValueError(reason)
        first, *others = rest = _rest(line, points) or [""]
        corners = line.points(points.number or line.numbers // 2)
        if not column:
            return _word(corners, ",".join(rest))
        if not others:
            raise ValueError(f"has no {column} before the text, unlike the other lines")
        if column == "difficult" and first.strip() not in ("0", "1"):
            raise ValueError(f"has `{first}` where the other lines have 0 or 1 (difficult)")
        return _word(corners, ",".join(others), column == "difficult" and first.strip() == "1")

    return Form(name, read)


def _count_points(lines: Sequence[Line]) -> Points:
    """The `Points` of a folder, by the rules at the top of this file."""
    # Lines that are nothing but numbers: is that the format, or are their texts numbers?
    bare = [line for line in lines if line.ends and line.numbers % 2 == 0]
    text = 2 * sum(line.numbers == 8 or _is_outline(line) for line in bare) <= len(lines)
    candidates = [line for line in lines if not line.ends] if text else bare
    others = [line for line in candidates if _is_other(line)]
    quads, few = sum(line.numbers in (8, 9) for line in lines), FEW * len(lines)
    counts = collections.Counter(line.numbers // 2 for line in others)
    # No sign of another number than four.
    if not others:
        return Points(4, text)
    (number, same), *_ = counts.most_common(1)
    alike = sum(line.numbers == 2 * number for line in candidates)
    # Too little evidence: each line may also be a quad whose text is numbers.
    if not text and quads <= few and number < MANY and not CERTAIN <= alike == same:
        return Points(4, True, (True, False))
    # One other number on all lines.
    if quads <= few and len(others) - same <= few and (same >= SURE or number >= MANY):
        return Points(number, text)
    # Different numbers in one folder.
    if len(others) >= SURE and len(others) > few:
        return Points(None, text)
    # Four points, with a few odd lines, which are refused.
    return Points(4, text, (not text,))


def _is_other(line: Line) -> bool:
    """Whether the numbers of a line form an outline of another number of points than four."""
    return line.numbers % 2 == 0 and line.numbers != 8 and _is_outline(line)


def _is_outline(line: Line) -> bool:
    """Whether the leading points, three or more, are close together with no crossing edges."""
    number = line.numbers // 2
    return number >= 3 and _is_near(line) and shapely.Polygon(line.points(number)).is_valid


def _is_near(line: Line) -> bool:
    """Whether no point is further from the box of the first four than twice its longer side."""
    points = line.points(line.numbers // 2)
    if not np.isfinite(points).all():
        return False
    low, high = points[:4].min(0), points[:4].max(0)
    reach = 2 * (high - low).max()
    return bool((points >= low - reach).all() and (points <= high + reach).all())


def _misfit(line: Line, points: Points) -> str | None:
    """Why a line does not fit the folder's format; None if it does."""
    number = points.number or max(3, line.numbers // 2)
    if line.numbers < 2 * number:
        return f"{line.numbers} leading numbers; {number} points need {2 * number}"
    # An odd count means that the text begins with a number; only a valid outline shows where.
    if points.number is None and not (_is_outline if line.numbers % 2 else _is_near)(line):
        return f"{line.numbers} numbers are not an outline; quote a text that begins with a number"
    many = number == 4 and line.numbers >= 2 * MANY and _is_outline(line)
    if many or line.ends in points.doubted and _is_other(line):
        return (
            f"{line.numbers} numbers may be {line.numbers // 2} points, or 4 and a text that "
            "begins with numbers: put the text in quotes"
        )
    if (len(line.fields) > 2 * number) != points.text:
        return _text_differs(line.numbers, points.text)
    return None


def _text_differs(count: int, has_text: bool) -> str:
    most = "have a text" if has_text else "have none"
    return f"{count} numbers and {'no' if has_text else 'a'} text, but most lines {most}"


def _rest(line: Line, points: Points) -> list[str]:
    """The fields after the points."""
    return line.fields[2 * (points.number or line.numbers // 2) :]


def _column(rests: Sequence[list[str]]) -> str:
    """The column between points and text: "language", "difficult" (RCTW's 0 or 1), or ""."""
    words = [rest[0].strip().casefold() for rest in rests if len(rest) > 1]
    if 2 * sum(word in LANGUAGES for word in words) > len(rests):
        return "language"
    pairs = ((rest[0].strip(), ",".join(rest[1:]).strip()) for rest in rests)
    if _most(first in ("0", "1") and text[:1] == text[-1:] == '"' for first, text in pairs):
        return "difficult"
    few = words and len(words) == len(rests) and len(words) >= VOCABULARY * len(set(words))
    return "language" if few and not any(map(is_number, words)) else ""
