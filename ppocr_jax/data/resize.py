"""Reading images, their size at evaluation, and the constants of their normalisation."""

import pathlib

import cv2
import numpy as np

from ppocr_jax.errors import UserError

MAX_PIXELS = 178_956_970  # as Pillow's guard against decompression bombs


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
    if data.startswith(b"\xff\xd8") and b"\xff\xd9" not in data[-4096:]:
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


def plan_resize(height, width, *, limit_side=736, limit_type="min"):
    """The size at which an image is evaluated, both sides multiples of 32.

    Args:
        height, width: of the image, pixels.
        limit_side: pixels.
        limit_type: "min", the shorter side is enlarged to `limit_side` at least; "max", the
            longer one is reduced to it at most; "resize_long", the longer one becomes it.

    Returns:
        `(height, width)`. Each scaled side is cut to an integer and rounded to 32, half to even.

    Raises:
        UserError: another `limit_type`.
    """
    if limit_type == "min":
        ratio = max(1.0, limit_side / min(height, width))
    elif limit_type == "max":
        ratio = min(1.0, limit_side / max(height, width))
    elif limit_type == "resize_long":
        ratio = limit_side / max(height, width)
    else:
        raise UserError(f"limit_type={limit_type}: choose min, max or resize_long")
    return tuple(max(32, round(int(side * ratio) / 32) * 32) for side in (height, width))


def plan_resize_long(height, width, *, resize_long):
    """The size with the longer side at `resize_long`, both sides rounded up to 128."""
    ratio = resize_long / max(height, width)
    return tuple(-(-int(side * ratio) // 128) * 128 for side in (height, width))


def plan_fixed(height, width, *, image_shape, keep_ratio=False):
    """`image_shape` itself; with `keep_ratio` its height, and the width rounded up to 32."""
    target, _ = image_shape
    if not keep_ratio:
        return tuple(image_shape)
    return target, int(np.ceil(width * target / height / 32) * 32)


def pad_small(image):
    """An image whose sides add up to less than 64, on a black 32 x 32 at least."""
    height, width = image.shape[:2]
    if height + width >= 64:
        return image
    padded = np.zeros((max(32, height), max(32, width), 3), image.dtype)
    padded[:height, :width] = image
    return padded


def resize_image(image, height, width):
    """Bilinear resize of `[H, W, 3]`; the image itself when it has that size."""
    if image.shape[:2] == (height, width):
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
