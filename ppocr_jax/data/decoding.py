"""Decodes image files: 16-bit samples, transparency and EXIF orientation included."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ppocr_jax.data.image_files import Header, open_rgba

if TYPE_CHECKING:
    from jaxtyping import Shaped, UInt8, UInt16

DEPTHS = (8, 10, 12, 14, 16)  # bits per sample of scanners and cameras, stored in 16
STRIPE = 256  # rows processed at a time, so that a large image needs little extra memory
# EXIF's orientation -> the operation that makes the image upright.
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda image: image,
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.rotate(cv2.transpose(image), cv2.ROTATE_180),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


def decode(data: bytes, header: Header | None) -> UInt8[np.ndarray, "H W 3"] | None:
    """The first image of a file, uint8 `[H, W, 3]` BGR, upright; None if it is not an image.

    Args:
        data: content of the file.
        header: its header, or None if it could not be read: then OpenCV alone decides.

    Raises:
        cv2.error: one of OpenCV's own limits.
        ValueError: samples that do not have 8 or 16 bits.
    """
    buffer = np.frombuffer(data, np.uint8)
    if header is None:
        return cv2.imdecode(buffer, cv2.IMREAD_COLOR)
    # Special cases first; each returns None where plain decoding gives the right result.
    if header.deep:
        narrow = _decode_narrow(buffer)
        if narrow is not None:
            return narrow
    if header.transparent:
        flat = _decode_transparent(data)
        if flat is not None:
            return flat
    # OpenCV applies EXIF itself to all formats but AVIF. Its own turn is switched off there, in
    # case a later version applies it too.
    turn = TURNS[header.orientation]
    leave = cv2.IMREAD_IGNORE_ORIENTATION if header.orientation > 1 else 0
    image = cv2.imdecode(buffer, cv2.IMREAD_COLOR | leave)
    return image if image is None else turn(image)


def _decode_narrow(buffer: UInt8[np.ndarray, " n"]) -> UInt8[np.ndarray, "H W 3"] | None:
    """A 16-bit image that uses fewer bits, scaled to 8 bits from those in use.

    Returns:
        uint8 `[H, W, 3]` BGR; None if all 16 bits are used or the file is not an image.

    Raises:
        ValueError: the samples are neither 8 nor 16 bits.
    """
    image = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype == np.uint8:
        return None
    if image.dtype != np.uint16:
        raise ValueError(f"its samples are {image.dtype}: save it with 8 or 16 bits a sample")
    colours = image[..., :3] if image.ndim == 3 else image[..., None]
    depth = find_depth(colours)
    if depth == 16:
        return None
    levels = np.right_shift(colours, depth - 8, out=colours).astype(np.uint8)
    return levels if levels.shape[2] == 3 else np.repeat(levels[..., :1], 3, axis=2)


def find_depth(colours: UInt16[np.ndarray, "*shape"]) -> int:
    """How many bits of uint16 samples are used: the smallest of `DEPTHS` that holds them all.

    Scanners store 10, 12 or 14 bits in 16. Keeping the upper 8 of 16 would leave 16 grey levels of
    a 12-bit image, and faint text would be lost.
    """
    highest = int(colours.max()).bit_length()
    return next(depth for depth in DEPTHS if depth >= highest)


def _decode_transparent(data: bytes) -> UInt8[np.ndarray, "H W 3"] | None:
    """A partly transparent image, see `flatten_alpha`; None also if the file is damaged."""
    try:
        image, orientation = open_rgba(data)
        rgba = np.asarray(image)
    except MemoryError:
        raise
    except Exception:  # Pillow raises almost anything on a damaged file; OpenCV tries it next
        return None
    flat = flatten_alpha(rgba)
    return flat if flat is None else TURNS[orientation](flat)


def flatten_alpha(rgba: UInt8[np.ndarray, "H W 4"]) -> UInt8[np.ndarray, "H W 3"] | None:
    """Puts a partly transparent image on a plain background.

    The background is white, or black if the opaque part is light: text drawn in white on nothing
    stays visible.

    Returns:
        uint8 `[H, W, 3]` BGR; None if nothing or everything is transparent: then the colours alone
        are the image.
    """
    lowest, highest, *_ = cv2.minMaxLoc(rgba[..., 3])
    if lowest == 255 or highest == 0:
        return None
    ground = 0 if _mean_grey(rgba) > 127.5 else 255
    result = np.empty((*rgba.shape[:2], 3), np.uint8)
    for top in range(0, len(rgba), STRIPE):
        part = rgba[top : top + STRIPE].astype(np.float32)
        opaque = part[..., 3:] / 255
        mixed = part[..., 2::-1] * opaque + ground * (1 - opaque)
        result[top : top + STRIPE] = np.rint(mixed)
    return result


def _mean_grey(rgba: Shaped[np.ndarray, "H W 4"]) -> float:
    """Mean grey level of the opaque part, weighted by alpha: 0 to 255."""
    total = weight = 0.0
    for top in range(0, len(rgba), STRIPE):
        part = rgba[top : top + STRIPE]
        grey, alpha = cv2.cvtColor(part, cv2.COLOR_RGBA2GRAY), part[..., 3]
        total += float(np.sum(grey * alpha.astype(np.float32)))
        weight += float(np.sum(alpha, dtype=np.int64))
    return total / weight
