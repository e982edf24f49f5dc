"""The bytes of an image file -> pixels: 16 bits, transparency and orientation on the way."""

import cv2
import numpy as np

from ppocr_jax.data.image_files import open_rgba

DEPTHS = (8, 10, 12, 14, 16)  # bits that scanners and cameras give, stored in 16
STRIPE = 256  # rows that are worked on at a time, so that a large picture needs little beside it
# EXIF's orientation -> what turns the picture upright.
TURNS = {
    1: lambda image: image,
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.rotate(cv2.transpose(image), cv2.ROTATE_180),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


def decode(data, header):
    """The first picture of a file, uint8 `[H, W, 3]` BGR, upright; None if it is none.

    Args:
        data: bytes of the file.
        header: `image_files.Header`, or None where there is none: OpenCV alone has the word then.

    Raises:
        cv2.error: OpenCV's own limits.
        ValueError: samples that are no 8 or 16 bits.
    """
    buffer = np.frombuffer(data, np.uint8)
    if header is None:
        return cv2.imdecode(buffer, cv2.IMREAD_COLOR)
    if header.deep:
        narrow = _decode_narrow(buffer)
        if narrow is not None:
            return narrow
    if header.clear:
        laid = _decode_clear(data)
        if laid is not None:
            return laid
    # OpenCV turns all but AVIF by itself, a late version perhaps that too.
    turn = TURNS[header.orientation]
    leave = cv2.IMREAD_IGNORE_ORIENTATION if header.orientation > 1 else 0
    image = cv2.imdecode(buffer, cv2.IMREAD_COLOR | leave)
    return image if image is None else turn(image)


def _decode_narrow(buffer):
    """A picture of 16 bits whose samples fit into fewer, brought to 8 bits from those.

    Returns:
        uint8 `[H, W, 3]` BGR; None when all 16 bits are in use or the file is no picture.

    Raises:
        ValueError: other samples than of 16 bits.
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


def find_depth(colours):
    """How many bits of uint16 samples are in use, of `DEPTHS`.

    Scanners store 10, 12 or 14 bits in 16: the upper 8 alone would leave 16 grey levels of 12 bits
    and lose faint text.
    """
    highest = int(colours.max()).bit_length()
    return next(depth for depth in DEPTHS if depth >= highest)


def _decode_clear(data):
    """A picture that is transparent in places, see `lay_over`; also None where it is damaged."""
    try:
        image, orientation = open_rgba(data)
        rgba = np.asarray(image)
    except MemoryError:
        raise
    except Exception:  # whatever comes up in a damaged file; OpenCV tries it next
        return None
    laid = lay_over(rgba)
    return laid if laid is None else TURNS[orientation](laid)


def lay_over(rgba):
    """A picture that is transparent in places, laid over a plain ground.

    Args:
        rgba: uint8 `[H, W, 4]`.

    Returns:
        uint8 `[H, W, 3]` BGR; None when nothing is transparent, or everything: then the colours
        are the picture.
    """
    lowest, highest, *_ = cv2.minMaxLoc(rgba[..., 3])
    if lowest == 255 or highest == 0:
        return None
    ground = 0 if _ink(rgba) > 127.5 else 255
    result = np.empty((*rgba.shape[:2], 3), np.uint8)
    for top in range(0, len(rgba), STRIPE):
        part = rgba[top : top + STRIPE].astype(np.float32)
        opaque = part[..., 3:] / 255
        mixed = part[..., 2::-1] * opaque + ground * (1 - opaque)
        result[top : top + STRIPE] = np.rint(mixed)
    return result


def _ink(rgba):
    """Mean grey level of what is not transparent in `[H, W, 4]`, 0 to 255."""
    total = weight = 0.0
    for top in range(0, len(rgba), STRIPE):
        part = rgba[top : top + STRIPE]
        grey, alpha = cv2.cvtColor(part, cv2.COLOR_RGBA2GRAY), part[..., 3]
        total += float(np.sum(grey * alpha.astype(np.float32)))
        weight += float(np.sum(alpha, dtype=np.int64))
    return total / weight
