"""Pictures for a folder of one's own: upright, not too large, without what cameras add.

JPEG and PNG that need no change keep their pixels' bytes: what is left out are the entries beside
them, such as EXIF with its places, XMP, thumbnails, comments, and all that follows the picture.
"""

import struct

import cv2
import numpy as np

from ppocr_jax.data.image_files import SCAN_END
from ppocr_jax.data.resize import read_image

QUALITY = 95  # of a JPEG that has to be written anew
PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"gAMA", b"cHRM", b"sRGB", b"iCCP",
            b"sBIT", b"bKGD", b"pHYs")  # fmt: skip


def write_copy(path, image, turned, target, size):
    """Writes a picture without metadata.

    Args:
        path: pathlib.Path of the source.
        image: uint8 `[H, W, 3]` BGR, what `read_image` gives for it.
        turned: whether EXIF turned it.
        target: pathlib.Path, without an ending.
        size: (height, width) that the copy is to have.

    Returns:
        The ending that its name has to have, such as ".jpg".

    Raises:
        OSError: it cannot be written.
    """
    data = path.read_bytes()
    ending = ".jpg" if data.startswith(b"\xff\xd8") else ".png"
    plain = None if turned or size != image.shape[:2] else strip(data)
    if plain is not None:
        target.write_bytes(plain)
        if _is_same(target, image):
            return ending
        ending = ".png"  # something was needed that is cut away: keep every pixel
    if size != image.shape[:2]:
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY,
               cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]  # fmt: skip
    _, encoded = cv2.imencode(ending, image, options if ending == ".jpg" else [])
    target.write_bytes(encoded.tobytes())
    return ending


def _is_same(path, image):
    """Whether a copy is read as its source is."""
    try:
        return np.array_equal(read_image(path), image)
    except Exception:  # whatever was cut away was needed
        return False


def strip(data):
    """The bytes of a JPEG or PNG without metadata; None for anything else, or a damaged one."""
    if data.startswith(b"\xff\xd8"):
        return _strip_jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _strip_png(data)
    return None


def _strip_jpeg(data):
    """Segment by segment (ITU-T T.81, annex B); the picture's end is the file's end."""
    parts, place = [b"\xff\xd8"], 2
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            return None
        marker = data[place + 1]
        if marker == 0xD9:
            return b"".join([*parts, b"\xff\xd9"])
        if marker == 0xFF:
            place += 1
            continue
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4])
        if marker == 0xDA:
            after = SCAN_END.search(data, end)
            if after is None:
                return None
            end = after.start()
        if _is_kept(marker, data[place + 4 : place + 16]):
            parts.append(data[place:end])
        place = end
    return b"".join([*parts, b"\xff\xd9"]) if data[place : place + 2] == b"\xff\xd9" else None


def _is_kept(marker, start):
    """Whether a decoder needs a segment: all but comments and what applications add, of which the
    header, the colour profile and Adobe's word on colours are needed."""
    if marker == 0xFE:
        return False
    if 0xE0 <= marker <= 0xEF:
        needed = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
        return marker in needed and start.startswith(needed[marker])
    return True


def _strip_png(data):
    parts, place = [data[:8]], 8
    while place + 12 <= len(data):
        (length,), kind = struct.unpack(">I", data[place : place + 4]), data[place + 4 : place + 8]
        end = place + 12 + length
        if kind in PNG_KEPT:
            parts.append(data[place:end])
        elif not kind[0] & 0x20:
            return None  # one that a decoder needs and we do not know
        if kind == b"IEND":
            return b"".join(parts)
        place = end
    return None
