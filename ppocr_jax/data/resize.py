"""Reading images, and their size at evaluation."""

import pathlib
import re

import cv2
import numpy as np

from ppocr_jax.data import RESIZE_RULES
from ppocr_jax.errors import UserError

MAX_PIXELS = 178_956_970  # as Pillow's guard against decompression bombs
SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # a marker that is not part of scan data


def read_image(path):
    """An image file as uint8 `[H, W, 3]` BGR, turned as its EXIF entry says.

    Raises:
        UserError: no such file, empty, cut short, not an image, or too large to be meant.
    """
    path = pathlib.Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    if not data:
        raise UserError(f"{path}: the file is empty")
    if data.startswith(b"\xff\xd8") and ends_early(data):
        raise UserError(f"{path}: the JPEG is cut short")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        reason = "is too large" if "PIXELS" in str(error) else "cannot be decoded"
        raise UserError(f"{path}: the image {reason}") from None
    if image is None:
        raise UserError(f"{path}: not an image, or a damaged one")
    if image.shape[0] * image.shape[1] > MAX_PIXELS:
        raise UserError(f"{path}: {image.shape[1]}x{image.shape[0]} pixels are too many")
    return image


def ends_early(jpeg):
    """Whether the data of a JPEG end before its picture does, whatever follows the picture.

    Phones put videos, further pictures and depth maps there. An end marker inside of a segment is
    that of a thumbnail, so that the segments are followed one by one (ITU-T T.81, annex B).

    Args:
        jpeg: bytes that begin as a JPEG's do.
    """
    place = 2
    while place + 4 <= len(jpeg):
        if jpeg[place] != 0xFF:
            return False  # not what a JPEG holds here: the decoder says what is wrong
        marker = jpeg[place + 1]
        if marker == 0xD9:  # end of image
            return False
        if marker == 0xFF:  # filling
            place += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:  # without content
            place += 2
        else:
            place += 2 + int.from_bytes(jpeg[place + 2 : place + 4])
            if marker == 0xDA:  # a scan: its data go on to the next marker
                after = SCAN_END.search(jpeg, place)
                if after is None:
                    return True
                place = after.start()
    return jpeg[place : place + 2] != b"\xff\xd9"


def enlarge_shorter(height, width, limit_side):
    """Factor that brings the shorter side to `limit_side` at least."""
    return max(1.0, limit_side / min(height, width))


def reduce_longer(height, width, limit_side):
    """Factor that brings the longer side to `limit_side` at most."""
    return min(1.0, limit_side / max(height, width))


def fit_longer(height, width, limit_side):
    """Factor that makes the longer side `limit_side`."""
    return limit_side / max(height, width)


def plan_resize(height, width, *, limit_side=736, limit_type="min"):
    """The size at which an image is evaluated, both sides multiples of 32.

    Args:
        height, width: of the image, pixels.
        limit_side: pixels.
        limit_type: a name of `RESIZE_RULES`.

    Returns:
        `(height, width)`. Each scaled side is cut to an integer and rounded to 32, half to even.

    Raises:
        UserError: another `limit_type`.
    """
    ratio = RESIZE_RULES.pick("limit_type", limit_type)(height, width, limit_side)
    return tuple(max(32, round(int(side * ratio) / 32) * 32) for side in (height, width))


def resize_image(image, height, width):
    """Bilinear resize of `[H, W, 3]`; the image itself when it has that size."""
    if image.shape[:2] == (height, width):
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
