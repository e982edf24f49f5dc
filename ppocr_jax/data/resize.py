"""Reads images, and plans the size at which the network sees them in evaluation and prediction."""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

import cv2
import numpy as np

from ppocr_jax.data import RESIZE_RULES, image_files
from ppocr_jax.data.decoding import decode
from ppocr_jax.data.image_files import MAX_PIXELS
from ppocr_jax.errors import UserError

if TYPE_CHECKING:
    from jaxtyping import UInt8

T = TypeVar("T")
SMALL_TEXT = 8  # pixels at the network's input size: text lower than this is found only by chance
MOST_PIXELS = 25_000_000  # of the network's input: a camera's 24 megapixels pass unreduced
REDUCED_PIXELS = 12_000_000  # an image with more than that is reduced to this: a phone's photo
ENLARGED_PIXELS = 5_000_000  # limit for enlarging small images, such as 736 x 6784
LARGE = 16_000_000  # pixels of a file from which on only one image is processed at a time
_large = threading.RLock()


@overload
def read_image(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "H W 3"]: ...


@overload
def read_image(
    path: str | os.PathLike[str], then: Callable[[UInt8[np.ndarray, "H W 3"]], T]
) -> T: ...


def read_image(
    path: str | os.PathLike[str], then: Callable[[Any], Any] = lambda image: image
) -> Any:
    """Reads an image file as uint8 `[H, W, 3]` BGR, rotated and flipped as its EXIF entry says.

    Transparent parts become white, or black if the opaque part is light. 16-bit samples that use
    only 10, 12 or 14 bits are scaled from those. If a file holds several images, the first is read.

    Args:
        path: the file.
        then: called with the image; its result is returned. With large images only one at a time
            is in memory until this function is done.

    Raises:
        UserError: the file does not exist, is not a regular file, is empty, cut short or not an
            image, or the image is too large, in itself or for this machine's memory.
    """
    try:
        data = image_files.read_bytes(path)
        # OpenCV decodes a truncated JPEG without an error, so that is checked here first.
        fault = image_files.find_fault(data)
        if fault:
            raise UserError(f"{path}: {fault}")
        header = image_files.read_header(io.BytesIO(data))
        height, width = header.size if header else (0, 0)
        if height * width > MAX_PIXELS:
            raise UserError(f"{path}: {width}x{height} pixels are too many")
        with _large if height * width > LARGE else contextlib.nullcontext():
            return then(_decode(path, data, header))
    except (MemoryError, cv2.error) as error:
        if isinstance(error, cv2.error) and error.code != cv2.Error.StsNoMem:
            raise
        raise UserError(f"{path}: not enough memory for this image") from None


def _decode(
    path: str | os.PathLike[str], data: bytes, header: image_files.Header | None
) -> UInt8[np.ndarray, "H W 3"]:
    """The image in the bytes of a file. Raises UserError: there is none."""
    try:
        image = decode(data, header)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise
        reason = "is too large" if "PIXELS" in str(error) else "cannot be decoded"
        raise UserError(f"{path}: the image {reason}") from None
    if image is None:
        raise UserError(f"{path}: not an image, or a damaged one")
    if image.shape[0] * image.shape[1] > MAX_PIXELS:
        raise UserError(f"{path}: {image.shape[1]}x{image.shape[0]} pixels are too many")
    return image


def enlarge_shorter(height: int, width: int, limit_side: float) -> float:
    """Factor that makes the shorter side at least `limit_side`: 1 or larger."""
    return max(1.0, limit_side / min(height, width))


def reduce_longer(height: int, width: int, limit_side: float) -> float:
    """Factor that makes the longer side at most `limit_side`: 1 or smaller."""
    return min(1.0, limit_side / max(height, width))


def fit_longer(height: int, width: int, limit_side: float) -> float:
    """Factor that makes the longer side exactly `limit_side`."""
    return limit_side / max(height, width)


def plan_resize(
    height: int, width: int, *, limit_side: float = 736, limit_type: str = "min"
) -> tuple[int, int]:
    """The input size of the network for an image: (height, width), both multiples of 32.

    Args:
        height, width: of the image, pixels.
        limit_side: pixels.
        limit_type: a name of `RESIZE_RULES`.

    Raises:
        UserError: unknown `limit_type`.
    """
    ratio = RESIZE_RULES.pick("limit_type", limit_type)(height, width, limit_side)
    # Truncated, then rounded to 32 with halves to the even multiple: exactly PaddleOCR's rounding.
    height, width = (max(32, round(int(side * ratio) / 32) * 32) for side in (height, width))
    return height, width


def plan_size(
    height: int, width: int, *, limit_side: float = 736, limit_type: str = "min"
) -> tuple[int, int]:
    """The size of `plan_resize`, limited so that the network's memory is bounded.

    An image is not enlarged beyond `ENLARGED_PIXELS`, unless it has more at its original size. An
    image of more than `MOST_PIXELS` is reduced to `REDUCED_PIXELS`. Without the limit a thin image
    of 12 x 1600 pixels would become 736 x 98144.
    """
    planned = plan_resize(height, width, limit_side=limit_side, limit_type=limit_type)
    own = 1.05 * height * width  # rounding to 32 adds up to 5 %
    most = min(MOST_PIXELS, max(ENLARGED_PIXELS, own, 2 * limit_side**2))
    if planned[0] * planned[1] <= most:
        return planned
    if own > MOST_PIXELS:
        most = REDUCED_PIXELS
    # Reduce the area to `most`, aspect ratio kept as far as a short side of 32 pixels allows.
    short, long = sorted(planned)
    ratio = (most / (short * long)) ** 0.5
    short = max(32, int(short * ratio) // 32 * 32)
    long = int(min(int(long * ratio) if short > 32 else long, most // short) // 32 * 32)
    return (short, long) if planned[0] <= planned[1] else (long, short)


def resize_image(
    image: UInt8[np.ndarray, "H W 3"], height: int, width: int
) -> UInt8[np.ndarray, "height width 3"]:
    """Bilinear resize; returns the image itself if it already has that size."""
    if image.shape[:2] == (height, width):
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
