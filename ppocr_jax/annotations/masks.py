"""Masks, and the run lengths that files store them as -> polygons.

COCO counts pixels column by column, background first. Its compressed form writes the difference of
each count to the one two before it, in characters of five bits. Label Studio packs RGBA values row
by row: runs and literal stretches, whose lengths have one of four bit widths.
"""

from typing import Any

import cv2
import numpy as np
import shapely

from ppocr_jax.annotations.shapes import outline
from ppocr_jax.data.image_files import MAX_PIXELS

SPECK = 0.02  # fraction of the largest piece's area below which a piece is a slip of the brush
SIMPLER = 1.0  # pixels by which simplification may move an outline


def mask_polygons(mask: np.ndarray) -> list[np.ndarray]:
    """Outlines of the pieces of a mask.

    Args:
        mask: bool or uint8 `[H, W]`.

    Returns:
        Polygons, float64 `[P, 2]`, where pixel (x, y) covers x to x + 1 and y to y + 1. Holes are
        filled, specks are left out, and outlines are simplified by at most a pixel.
    """
    mask = np.ascontiguousarray(mask, np.uint8)
    found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    shapes = [_grown(contour[:, 0]) for contour in found]
    largest = max((shape.area for shape in shapes), default=0)
    kept = [shape for shape in shapes if shape.area >= SPECK * largest]
    return [outline(_simpler(shape)) for shape in kept]


def _grown(points: np.ndarray) -> shapely.Polygon:
    """The shape around the pixels whose centres a contour `[P, 2]` passes through.

    OpenCV's contours join pixel centres, so they are half a pixel short on every side, and a stroke
    one pixel wide has no area at all. Growing by half a pixel covers the pixels themselves.
    """
    ring = shapely.Polygon(points) if len(points) > 2 else shapely.LineString([*points, points[0]])
    line = shapely.LineString([*points, points[0]])
    whole = shapely.union_all([shapely.make_valid(ring), line])
    grown = whole.buffer(0.5, join_style="mitre", cap_style="square")
    parts = shapely.get_parts(grown)
    shape = max(parts, key=lambda part: part.area)
    return shapely.transform(shape, lambda xy: xy + 0.5)  # centres lie at x + 0.5


def _simpler(shape: shapely.Polygon) -> shapely.Polygon:
    simple = shape.simplify(SIMPLER)
    return simple if isinstance(simple, shapely.Polygon) and simple.area > 0 else shape


def decode_counts(counts: Any, height: int, width: int) -> np.ndarray:
    """COCO's run lengths -> bool `[H, W]`.

    Args:
        counts: a list of numbers, or the compressed text.
        height: of the mask, pixels.
        width: of the mask, pixels.

    Raises:
        ValueError: they do not describe a mask of that size.
    """
    if height * width > MAX_PIXELS:
        raise ValueError(f"a mask of {width}x{height} pixels is too large")
    lengths = _unpack(counts) if isinstance(counts, str) else counts
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in lengths):
        raise ValueError("the mask's counts are not whole numbers")
    if sum(lengths) != height * width:
        raise ValueError(f"the mask's counts cover {sum(lengths)} pixels of {height * width}")
    values = np.arange(len(lengths)) % 2 == 1  # background first, then in turns
    return np.repeat(values, lengths).reshape(width, height).T  # column by column


def _unpack(text: str) -> list[int]:
    """Counts of COCO's compressed form.

    Each character holds five bits of a number, lowest first, plus 48. Bit 32 says that more follow,
    bit 16 of the last one is the sign. From the fourth count on, numbers are differences.
    """
    lengths: list[int] = []
    value = shift = 0
    for letter in text:
        code = ord(letter) - 48
        if not 0 <= code < 64 or shift > 60:
            raise ValueError("the mask's counts are not text as COCO writes it")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("the mask's counts are cut short")
    return lengths


def decode_brush(packed: Any, height: int, width: int) -> np.ndarray:
    """Label Studio's brush -> bool `[H, W]`, true where its opacity is not 0.

    Args:
        packed: list of bytes. Header: 32 bits for the number of values, 5 for the bit width of a
            value, four times 4 for the bit widths of a length, each width less one. Then blocks: a
            bit that is 1 for a run, two bits that choose the width of the length, the length less
            one, and the one value of a run or all values of a literal stretch.
        height: of the image, pixels.
        width: of the image, pixels.

    Raises:
        ValueError: it does not describe RGBA values of that size.
    """
    try:
        data = np.array(packed, np.uint8)
    except (OverflowError, TypeError, ValueError):
        raise ValueError("the brush's rle is not a list of bytes") from None
    if data.ndim != 1 or height * width > MAX_PIXELS or len(data) > 8 * height * width + 64:
        raise ValueError("the brush's rle does not fit the image's size")
    # --- header
    stream = _Bits(data)
    total, width_of_value = stream.number(32), stream.number(5) + 1
    if total != 4 * height * width or width_of_value > 8:
        raise ValueError(f"the brush's rle has {total} values of {4 * height * width}")
    sizes = [stream.number(4) + 1 for _ in range(4)]
    # --- blocks
    values, place = np.zeros(total, np.uint8), 0
    while place < total:
        is_run = stream.number(1)
        count = stream.number(sizes[stream.number(2)]) + 1
        end = min(place + count, total)
        values[place:end] = stream.values(1 if is_run else count, width_of_value)[: end - place]
        place = end
    return values.reshape(height, width, 4)[..., 3] > 0


class _Bits:
    """Reads numbers of any bit width from bytes, highest bit first."""

    def __init__(self, data: np.ndarray) -> None:
        self._bits, self._place = np.unpackbits(data), 0

    def number(self, size: int) -> int:
        """The next `size` bits as a number."""
        return int.from_bytes(np.packbits(self._take(size)).tobytes()) >> (-size % 8)

    def values(self, count: int, size: int) -> np.ndarray:
        """The next `count` numbers of `size` bits each."""
        return self._take(count * size).reshape(count, size) @ (1 << np.arange(size)[::-1])

    def _take(self, size: int) -> np.ndarray:
        part = self._bits[self._place : self._place + size]
        if len(part) < size:
            raise ValueError("the brush's rle is cut short")
        self._place += size
        return part
