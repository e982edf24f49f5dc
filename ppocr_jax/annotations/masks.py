"""Masks, and the run lengths that files keep them as -> polygons.

COCO counts pixels down the columns, background first; its compressed form writes each count's
difference to the one two before it in letters of five bits. Label Studio packs RGBA values by rows:
runs and plain stretches whose lengths take one of four numbers of bits.
"""

import cv2
import numpy as np
import shapely

from ppocr_jax.annotations.shapes import outline
from ppocr_jax.data.image_files import MAX_PIXELS

SPECK = 0.02  # share of the largest piece, below which a piece is a slip of the brush
SIMPLER = 1.0  # pixels by which an outline may move


def mask_polygons(mask):
    """Outlines of the pieces of a mask.

    Args:
        mask: bool or uint8 `[H, W]`.

    Returns:
        A list of polygons, float64 `[P, 2]`: pixel (x, y) reaches from x to x + 1. Holes are
        filled, specks left out, outlines simplified by at most a pixel.
    """
    mask = np.ascontiguousarray(mask, np.uint8)
    found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    shapes = [_grown(contour[:, 0]) for contour in found]
    largest = max((shape.area for shape in shapes), default=0)
    kept = [shape for shape in shapes if shape.area >= SPECK * largest]
    return [outline(_simpler(shape)) for shape in kept]


def _grown(points):
    """The shape around the pixels whose middles a contour runs through."""
    ring = shapely.Polygon(points) if len(points) > 2 else shapely.LineString([*points, points[0]])
    line = shapely.LineString([*points, points[0]])
    whole = shapely.union_all([shapely.make_valid(ring), line])
    grown = whole.buffer(0.5, join_style="mitre", cap_style="square")
    parts = shapely.get_parts(grown)
    shape = max(parts, key=lambda part: part.area)
    return shapely.transform(shape, lambda xy: xy + 0.5)


def _simpler(shape):
    simple = shape.simplify(SIMPLER)
    return simple if isinstance(simple, shapely.Polygon) and simple.area > 0 else shape


def decode_counts(counts, height, width):
    """COCO's run lengths -> bool `[H, W]`.

    Args:
        counts: a list of numbers, or the compressed text.

    Raises:
        ValueError: it does not describe a mask of that size.
    """
    if height * width > MAX_PIXELS:
        raise ValueError(f"a mask of {width}x{height} pixels is too large")
    lengths = _unpack(counts) if isinstance(counts, str) else counts
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in lengths):
        raise ValueError("the mask's counts are no whole numbers")
    if sum(lengths) != height * width:
        raise ValueError(f"the mask's counts are {sum(lengths)} pixels of {height * width}")
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(width, height).T


def _unpack(text):
    """Counts of COCO's compressed form."""
    lengths, value, shift = [], 0, 0
    for letter in text:
        code = ord(letter) - 48
        if not 0 <= code < 64 or shift > 60:
            raise ValueError("the mask's counts are no text of COCO's")
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


def decode_brush(packed, height, width):
    """Label Studio's brush -> bool `[H, W]`, where its opacity is not 0.

    Args:
        packed: list of bytes: 32 bits for the number of values, 5 for the bits of a value, four
            times 4 for the bits of a length (each less one); then pieces: a bit for "run", two for
            which length, the length less one, and the value or values.

    Raises:
        ValueError: it does not describe RGBA values of that size.
    """
    try:
        data = np.array(packed, np.uint8)
    except (OverflowError, TypeError, ValueError):
        raise ValueError("the brush's rle is no list of bytes") from None
    if data.ndim != 1 or height * width > MAX_PIXELS or len(data) > 8 * height * width + 64:
        raise ValueError("the brush's rle does not fit the picture's size")
    stream = _Bits(data)
    total, width_of_value = stream.number(32), stream.number(5) + 1
    if total != 4 * height * width or width_of_value > 8:
        raise ValueError(f"the brush's rle has {total} values of {4 * height * width}")
    sizes = [stream.number(4) + 1 for _ in range(4)]
    values, place = np.zeros(total, np.uint8), 0
    while place < total:
        runs = stream.number(1)
        count = stream.number(sizes[stream.number(2)]) + 1
        end = min(place + count, total)
        values[place:end] = stream.values(1 if runs else count, width_of_value)[: end - place]
        place = end
    return values.reshape(height, width, 4)[..., 3] > 0


class _Bits:
    """Reads numbers of any number of bits, the highest bit first."""

    def __init__(self, data):
        self._bits, self._place = np.unpackbits(data), 0

    def number(self, size):
        return int.from_bytes(np.packbits(self._take(size)).tobytes()) >> (-size % 8)

    def values(self, count, size):
        return self._take(count * size).reshape(count, size) @ (1 << np.arange(size)[::-1])

    def _take(self, size):
        part = self._bits[self._place : self._place + size]
        if len(part) < size:
            raise ValueError("the brush's rle is cut short")
        self._place += size
        return part
