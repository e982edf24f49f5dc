"""Copies of images for the new data set: upright, no larger than asked for, without metadata.

A JPEG or PNG that needs no change keeps its compressed pixels bit for bit. Only the entries beside
them are removed: EXIF with its GPS position, XMP, thumbnails, comments, and any data after the end.
"""

import pathlib
import struct

import cv2
import numpy as np

from ppocr_jax.data.image_files import SCAN_END
from ppocr_jax.data.resize import read_image

QUALITY = 95  # of a JPEG that has to be encoded again
PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"gAMA", b"cHRM", b"sRGB", b"iCCP",
            b"sBIT", b"bKGD", b"pHYs")  # fmt: skip
# JPEG markers (ITU-T T.81, table B.1).
END_OF_IMAGE, START_OF_SCAN, COMMENT = 0xD9, 0xDA, 0xFE
FIRST_APP, LAST_APP = 0xE0, 0xEF
APPS_KEPT = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}


def write_copy(
    path: pathlib.Path,
    image: np.ndarray,
    turned: bool,
    target: pathlib.Path,
    size: tuple[int, int],
) -> str:
    """Writes an image without metadata.

    Args:
        path: of the source.
        image: uint8 `[H, W, 3]` BGR, what `read_image` returns for it.
        turned: whether EXIF rotates it.
        target: path of the copy, without an ending.
        size: (height, width) of the copy.

    Returns:
        The ending that the copy's name needs, such as ".jpg".

    Raises:
        OSError: the copy cannot be written.
    """
    data = path.read_bytes()
    ending = ".jpg" if data.startswith(b"\xff\xd8") else ".png"
    # First choice: the same compressed data less its metadata, if that decodes to the same pixels.
    plain = None if turned or size != image.shape[:2] else strip(data)
    if plain is not None:
        target.write_bytes(plain)
        if _is_same(target, image):
            return ending
        ending = ".png"  # the metadata did change the pixels: keep every one of them
    # Second choice: encode the pixels again, without chroma subsampling, which blurs small text.
    if size != image.shape[:2]:
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)  # it only ever shrinks
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY,
               cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]  # fmt: skip
    _, encoded = cv2.imencode(ending, image, options if ending == ".jpg" else [])
    target.write_bytes(encoded.tobytes())
    return ending


def _is_same(path: pathlib.Path, image: np.ndarray) -> bool:
    """Whether a copy decodes to the same pixels as its source."""
    try:
        return np.array_equal(read_image(path), image)
    except Exception:  # a decoder needed what was removed
        return False


def strip(data: bytes) -> bytes | None:
    """The bytes of a JPEG or PNG without metadata; None for other formats and damaged files."""
    if data.startswith(b"\xff\xd8"):
        return _strip_jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _strip_png(data)
    return None


def _strip_jpeg(data: bytes) -> bytes | None:
    """Copies segment by segment (ITU-T T.81, annex B) and stops at the end of the image."""
    parts, place = [b"\xff\xd8"], 2
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            return None
        marker = data[place + 1]
        if marker == END_OF_IMAGE:
            return b"".join([*parts, b"\xff\xd9"])
        if marker == 0xFF:  # a fill byte before a marker
            place += 1
            continue
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4])
        if marker == START_OF_SCAN:  # compressed data follows, whose length is not stated
            after = SCAN_END.search(data, end)
            if after is None:
                return None
            end = after.start()
        if _is_kept(marker, data[place + 4 : place + 16]):
            parts.append(data[place:end])
        place = end
    return b"".join([*parts, b"\xff\xd9"]) if data[place : place + 2] == b"\xff\xd9" else None


def _is_kept(marker: int, start: bytes) -> bool:
    """Whether a decoder needs a JPEG segment, given its first bytes.

    Comments and application segments go, apart from three that say how to read the colours: JFIF's
    header, the colour profile, and Adobe's.
    """
    if marker == COMMENT:
        return False
    if FIRST_APP <= marker <= LAST_APP:
        return marker in APPS_KEPT and start.startswith(APPS_KEPT[marker])
    return True


def _strip_png(data: bytes) -> bytes | None:
    """Copies chunk by chunk up to IEND."""
    parts, place = [data[:8]], 8
    while place + 12 <= len(data):
        (length,), kind = struct.unpack(">I", data[place : place + 4]), data[place + 4 : place + 8]
        end = place + 12 + length
        if kind in PNG_KEPT:
            parts.append(data[place:end])
        elif not kind[0] & 0x20:  # upper case: a chunk that a decoder must understand
            return None
        if kind == b"IEND":
            return b"".join(parts)
        place = end
    return None
