"""Reading images, and their size at evaluation."""

import contextlib
import io
import threading

import cv2

from ppocr_jax.data import RESIZE_RULES, image_files
from ppocr_jax.data.decoding import decode
from ppocr_jax.data.image_files import MAX_PIXELS
from ppocr_jax.errors import UserError

SMALL_TEXT = 8  # pixels at the network's size: lower text is found by luck
MOST_PIXELS = 25_000_000  # of a picture in the network: a camera's 24 million pass as they are
REDUCED_PIXELS = 12_000_000  # what has more is brought to the size of a phone's photo
ENLARGED_PIXELS = 5_000_000  # a picture is not enlarged to more, 736 x 6784 for example
LARGE = 16_000_000  # pixels of a file, from which on no two are worked on at once
_large = threading.RLock()


def read_image(path, then=lambda image: image):
    """An image file as uint8 `[H, W, 3]` BGR, turned as its EXIF entry says.

    What is transparent is laid over white, or over black when the rest is light. Samples of 16
    bits of which only 10, 12 or 14 are in use are read as such. Of several pictures in a file the
    first is taken.

    Args:
        path: of the file.
        then: what to do with the picture at once. Where pictures are large, one at a time is in
            memory until that is done; what it returns is returned.

    Raises:
        UserError: no such file, no plain one, empty, cut short, not an image, too large to be
            meant, or too large for this machine's memory.
    """
    try:
        data = image_files.read_bytes(path)
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


def _decode(path, data, header):
    """The picture in the content of a file. Raises UserError: there is none."""
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


def plan_size(height, width, *, limit_side=736, limit_type="min"):
    """As `plan_resize`, but at most what a network can be given with a bounded memory.

    An enlargement ends at `ENLARGED_PIXELS`, or where the picture has more by itself at its own
    size; a picture of more than `MOST_PIXELS` is reduced to `REDUCED_PIXELS`. A thin picture would
    become as long as a street otherwise: 12 x 1600 would be 736 x 98144.
    """
    planned = plan_resize(height, width, limit_side=limit_side, limit_type=limit_type)
    own = 1.05 * height * width  # rounding to 32 adds up to 5 %
    most = min(MOST_PIXELS, max(ENLARGED_PIXELS, own, 2 * limit_side**2))
    if planned[0] * planned[1] <= most:
        return planned
    if own > MOST_PIXELS:
        most = REDUCED_PIXELS
    short, long = sorted(planned)
    ratio = (most / (short * long)) ** 0.5
    short = max(32, int(short * ratio) // 32 * 32)
    long = min(int(long * ratio) if short > 32 else long, most // short) // 32 * 32
    return (short, long) if planned[0] <= planned[1] else (long, short)


def resize_image(image, height, width):
    """Bilinear resize of `[H, W, 3]`; the image itself when it has that size."""
    if image.shape[:2] == (height, width):
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
