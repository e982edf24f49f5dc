"""Parts of synthetic scenes: words, fonts, backgrounds, clutter, and camera artefacts.

Everything is a function of the random generator passed in. The order of its draws is part of the
scenes: changing it changes every image. The fonts are those shipped with matplotlib (DejaVu, STIX,
Computer Modern), found without importing it.
"""

from __future__ import annotations

import functools
import importlib.util
import pathlib
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, UInt8

T = TypeVar("T")
FACES = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique",
    "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSerif", "DejaVuSerif-Bold",
    "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic", "STIXGeneral", "STIXGeneralBol",
    "STIXGeneralItalic", "STIXGeneralBolIta", "cmss10", "cmr10", "cmb10", "cmtt10",
)  # fmt: skip
# A made-up syllable is an onset, a vowel and an end.
ONSETS = "b br c ch cl d dr f fl g gr h j k l m n p pl qu r s sh sp st t th tr v w y z".split()
VOWELS = "a e i o u ai ea ee oo ou".split()
ENDS = ["", "", "n", "r", "s", "t", "l", "m", "nd", "ck", "st", "x", "ng"]
VAL_SHARE = 5  # one word in five belongs to the validation set


def split_of_word(word: str) -> str:
    """The split, "train" or "val", that a word may appear in; upper and lower case are the same."""
    return "val" if zlib.crc32(word.lower().encode()) % VAL_SHARE == 0 else "train"


def draw_word(rng: np.random.Generator, split: str) -> str:
    """A random word, number, price or time of a split; the splits have no word in common."""
    while True:
        word = _number(rng) if rng.random() < 0.2 else _syllables(rng)
        if split_of_word(word) == split:
            return word


def _syllables(rng: np.random.Generator) -> str:
    """A made-up word of one to three syllables, in one of three styles of case."""
    count = rng.choice([1, 2, 3], p=[0.25, 0.5, 0.25])
    word = "".join(_pick(rng, ONSETS) + _pick(rng, VOWELS) + _pick(rng, ENDS) for _ in range(count))
    style = rng.random()
    return word.upper() if style < 0.4 else word.capitalize() if style < 0.8 else word


def _number(rng: np.random.Generator) -> str:
    """A number, price, time, percentage or house number."""
    a, b = int(rng.integers(10, 10000)), int(rng.integers(100))
    return _pick(rng, [f"{a}", f"${a % 100}.{b:02d}", f"{a % 24}:{b % 60:02d}", f"{b}%", f"#{a}"])


def _pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of the options, uniformly."""
    return options[int(rng.integers(len(options)))]


@functools.cache
def font_folder() -> pathlib.Path:
    """Folder of matplotlib's fonts."""
    package = importlib.util.find_spec("matplotlib")
    assert package is not None and package.origin is not None  # a requirement of this package
    return pathlib.Path(package.origin).parent / "mpl-data" / "fonts" / "ttf"


@functools.lru_cache(512)
def load_font(face: str, size: int) -> ImageFont.FreeTypeFont:
    """A font face at a size in pixels."""
    return ImageFont.truetype(str(font_folder() / f"{face}.ttf"), size)


def render_word(word: str, face: str, size: int) -> UInt8[np.ndarray, "h w"]:
    """A rendered word, cropped to its bounding box: 255 inside the strokes, 0 outside."""
    font = load_font(face, size)
    left, top, right, bottom = font.getbbox(word)
    canvas_size = int(right - left) + 4, int(bottom - top) + 4  # two pixels on each side
    canvas = Image.new("L", canvas_size)
    ImageDraw.Draw(canvas).text((2 - left, 2 - top), word, fill=255, font=font)
    ink = np.asarray(canvas)
    # Faint anti-aliased edges do not count, so that the box is the one a person would label.
    rows, columns = np.nonzero(ink.max(1) > 64)[0], np.nonzero(ink.max(0) > 64)[0]
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def draw_colour(rng: np.random.Generator) -> Float32[np.ndarray, " 3"]:
    """A random colour, float32 BGR in 0..255; half of them are nearly grey."""
    colour = rng.uniform(0, 255, 3)
    if rng.random() < 0.5:
        colour = colour.mean() + rng.normal(0, 12, 3)
    return np.clip(colour, 0, 255).astype(np.float32)


def draw_background(rng: np.random.Generator, side: int) -> Float32[np.ndarray, "side side 3"]:
    """A random background in 0..255: colour gradients, with blocks, stripes, bricks or nothing."""
    image = _smooth_field(rng, side, int(rng.integers(2, 6)), 60)
    kind = rng.random()
    if kind < 0.3:
        _add_blocks(rng, image)
    elif kind < 0.5:
        _add_stripes(rng, image)
    elif kind < 0.7:
        _add_bricks(rng, image)
    if rng.random() < 0.6:  # texture of plaster or paper
        grain = _smooth_field(rng, side, int(rng.integers(24, side // 3)), 1)
        image += (grain - grain.mean()) * rng.uniform(4, 14)
    return np.clip(image, 0, 255)


def _smooth_field(
    rng: np.random.Generator, side: int, cells: int, spread: float
) -> Float32[np.ndarray, "side side C"]:
    """A coarse random grid of `cells` x `cells`, enlarged smoothly.

    With a spread of 1 it is grey around 0, `[side, side, 1]`; above that it is in colour, around a
    random one, `[side, side, 3]`.
    """
    colour = draw_colour(rng) if spread > 1 else np.zeros(3, np.float32)
    grid = rng.normal(0, 0.5 * spread, (cells, cells, 1 if spread == 1 else 3))
    grid = (colour + grid).astype(np.float32)
    field = cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
    return field if field.ndim == 3 else field[:, :, None]


def _add_blocks(rng: np.random.Generator, image: Float32[np.ndarray, "S S 3"]) -> None:
    """Filled rectangles, as of facades and posters."""
    side = len(image)
    for _ in range(int(rng.integers(3, 9))):
        x, y = rng.integers(-side // 4, side, 2)
        w, h = rng.integers(side // 8, side // 2, 2)
        colour = draw_colour(rng).tolist()
        cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h)), colour, -1)


def _add_stripes(rng: np.random.Generator, image: Float32[np.ndarray, "S S 3"]) -> None:
    """Parallel slanted stripes."""
    side, step = len(image), int(rng.integers(16, 70))
    colour = (image.mean((0, 1)) + rng.normal(0, 30, 3)).tolist()  # words must stay legible
    width = int(rng.integers(2, step // 2 + 2))
    slope = int(rng.integers(-side // 2, side // 2))
    for x in range(-side, 2 * side, step):
        cv2.line(image, (x, 0), (x + slope, side), colour, width, cv2.LINE_AA)


def _add_bricks(rng: np.random.Generator, image: Float32[np.ndarray, "S S 3"]) -> None:
    """The joints of a brick wall."""
    side, height = len(image), int(rng.integers(14, 40))
    width, colour = int(height * rng.uniform(1.5, 3)), draw_colour(rng).tolist()
    for row, y in enumerate(range(0, side, height)):
        cv2.line(image, (0, y), (side, y), colour, 1 + height // 20)
        for x in range(-width // 2 * (row % 2), side, width):
            cv2.line(image, (x, y), (x, y + height), colour, 1 + height // 20)


def add_clutter(rng: np.random.Generator, image: Float32[np.ndarray, "S S 3"], count: int) -> None:
    """Draws `count` objects that are not text: lines, rings, polygons, rows of dots, arrows, bars.

    Some resemble letters, so that the network has to learn the difference.
    """
    side = len(image)
    for _ in range(count):
        point, colour = rng.integers(0, side, 2), draw_colour(rng).tolist()
        radius, width = int(rng.integers(6, side // 6)), int(rng.integers(1, 5))
        centre, kind = (int(point[0]), int(point[1])), int(rng.integers(6))
        end: Sequence[int]
        if kind == 0:  # a line
            end = tuple(int(v) for v in rng.integers(0, side, 2))
            cv2.line(image, centre, end, colour, width, cv2.LINE_AA)
        elif kind == 1:  # a ring or a disc
            cv2.circle(image, centre, radius, colour, _pick(rng, [width, -1]), cv2.LINE_AA)
        elif kind == 2:  # the outline of a polygon
            points = centre + rng.integers(-radius, radius + 1, (int(rng.integers(3, 7)), 2))
            cv2.polylines(image, [points.astype(np.int32)], True, colour, width, cv2.LINE_AA)
        elif kind == 3:  # a row of dots
            step = int(rng.integers(8, 24))
            for index in range(int(rng.integers(3, 9))):
                dot = (centre[0] + index * step, centre[1])
                cv2.circle(image, dot, int(rng.integers(2, 6)), colour, -1, cv2.LINE_AA)
        elif kind == 4:  # an arrow
            end = (centre[0] + int(rng.integers(-radius, radius + 1)), centre[1] + radius)
            cv2.arrowedLine(image, centre, end, colour, width, cv2.LINE_AA, tipLength=0.3)
        else:  # four parallel bars
            for index in range(4):
                shift = index * radius // 2
                low, high = (centre[0] + shift, centre[1]), (centre[0] + shift, centre[1] + radius)
                cv2.line(image, low, high, colour, width, cv2.LINE_AA)


def wear(rng: np.random.Generator, image: Float[np.ndarray, "S S 3"]) -> UInt8[np.ndarray, "S S 3"]:
    """Uneven light, blur and noise of a cheap camera; JPEG artefacts come when it is saved."""
    side = len(image)
    if rng.random() < 0.5:
        light = _smooth_field(rng, side, 3, 1)
        image = image * np.clip(1.0 + 0.25 * light, 0.5, 1.4)
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.1))
    if rng.random() < 0.7:
        noise = np.empty(image.shape[:2], np.float32)
        rng.standard_normal(dtype=np.float32, out=noise)
        image = image + noise[:, :, None] * np.float32(rng.uniform(1, 7))
    return np.clip(image, 0, 255).astype(np.uint8)
