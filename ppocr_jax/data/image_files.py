"""Checks image files before they are decoded: regular files, complete, of a plausible size."""

from __future__ import annotations

import io
import os
import pathlib
import re
import stat
import warnings
import zlib
from typing import IO, NamedTuple

import cv2
from PIL import Image

from ppocr_jax.data import packed
from ppocr_jax.errors import UserError

MAX_PIXELS = 178_956_970  # Pillow's own limit against decompression bombs
MAX_BYTES = 1 << 30  # enough for that many pixels of three 16-bit samples
UNSEEN_BYTES = 1 << 26  # a larger file is read only if its header is that of an image
SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # a JPEG marker that is not part of a scan
ORIENTATION = 0x0112  # tag of the orientation in EXIF
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
Image.init()
# Formats that OpenCV reads too. Others of Pillow's run external programs or hold no pixels.
FORMATS: list[str] = [name for name in ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "DIB", "AVIF",
                             "JPEG2000", "PPM", "SUN") if name in Image.OPEN]  # fmt: skip

# A bad file gives one line of our own; without this the libraries print theirs as well.
set_log_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel  # OpenCV 4 or 5
set_log_level(0)  # silent
warnings.filterwarnings("ignore", module=r"PIL\.")
Image.MAX_IMAGE_PIXELS = None  # compared with `MAX_PIXELS` here, so that the message names the size


class Header(NamedTuple):
    """What the header of a file says about its image.

    Attributes:
        size: (height, width) after the EXIF orientation is applied.
        orientation: EXIF's number, 1 to 8, if we have to apply it; 1 where OpenCV does.
        deep: whether its samples have more than 8 bits.
        transparent: whether part of it may be transparent.
    """

    size: tuple[int, int]
    orientation: int
    deep: bool
    transparent: bool


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of an image file, or of an image in a shard.

    Raises:
        UserError: the file does not exist, is not a regular file (a pipe would never end), is
            empty, or is too large for an image.
    """
    place = packed.find_place(path)
    if place:
        return _require_size(packed.read_picture(place), path)
    path = pathlib.Path(path)
    try:
        size = _plain_size(path)
        if size > UNSEEN_BYTES and read_header(path) is None:
            raise UserError(f"{path}: not an image")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def _require_size(data: bytes, path: str | os.PathLike[str]) -> bytes:
    """`data` itself. Raises UserError: it is empty, or too large for an image."""
    if not data:
        raise UserError(f"{path}: the file is empty")
    if len(data) > MAX_BYTES:
        raise UserError(f"{path}: {len(data) >> 20} MiB are too many for an image")
    return data


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether an image file, or a record of a shard, exists."""
    place = packed.find_place(path)
    return packed.holds(place) if place else os.path.exists(path)


def _source(path: str | os.PathLike[str]) -> str | os.PathLike[str] | io.BytesIO:
    """What Pillow can open: a path, or the bytes of a record. Raises UserError: it is damaged."""
    place = packed.find_place(path)
    return io.BytesIO(packed.read_picture(place)) if place else path


def _plain_size(path: pathlib.Path) -> int:
    """Size in bytes of a regular file that may be an image. Raises UserError: it cannot be one."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        kind = KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise UserError(f"{path}: {kind}, not an image file")
    if not status.st_size:
        raise UserError(f"{path}: the file is empty")
    if status.st_size > MAX_BYTES:
        raise UserError(f"{path}: {status.st_size >> 20} MiB are too many for an image")
    return status.st_size


def read_size(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """(height, width) of the image that `read_image` returns, from the header alone.

    None if the header cannot be read; reading the whole file then tells what is wrong with it.
    """
    try:
        source = _source(path)
        if source is path:
            _plain_size(pathlib.Path(path))
    except (UserError, OSError, ValueError):
        return None
    header = read_header(source)
    return header and header.size


def read_header(source: str | os.PathLike[str] | IO[bytes]) -> Header | None:
    """The `Header` of a path or an open file; None if Pillow cannot read it."""
    try:
        with Image.open(source, formats=FORMATS) as image:
            width, height = image.size
            orientation = find_orientation(image)
            deep = image.mode[0] in "IF" or ";16" in str(image.tile)
            alpha = "transparency" in image.info or "a" in image.mode.lower()[1:]
            kind = image.format
    except Exception:  # Pillow raises almost anything on a damaged file
        return None
    if kind == "TIFF":  # there Pillow applies the orientation itself
        orientation = 1
    size = (width, height) if orientation >= 5 else (height, width)
    return Header(size, orientation if kind == "AVIF" else 1, deep, not deep and alpha)


def count_frames(path: str | os.PathLike[str]) -> int:
    """Number of pages of a TIFF, of which only the first is read; 1 for any other file."""
    if pathlib.Path(path).suffix.lower() not in (".tif", ".tiff"):
        return 1
    try:
        with Image.open(path, formats=["TIFF"]) as image:
            return getattr(image, "n_frames", 1)
    except Exception:  # as in `read_header`
        return 1


def find_orientation(image: Image.Image) -> int:
    """EXIF's orientation of an open Pillow image, 1 to 8; 1 if it has none."""
    exif = Image.Exif()
    try:
        # Not `getexif`, which reads XMP too: OpenCV does not. None, for no entry, is accepted.
        exif.load(image.info.get("exif"))  # type: ignore[arg-type]
        value = exif.get(ORIENTATION, 1)
    except Exception:  # a damaged entry: the image itself can be intact
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def is_turned(path: str | os.PathLike[str]) -> bool:
    """Whether EXIF makes `read_image` rotate or flip the image."""
    try:
        with Image.open(_source(path), formats=FORMATS) as image:
            tags = getattr(image, "tag_v2", {})  # a TIFF keeps its orientation here
            return find_orientation(image) != 1 or tags.get(ORIENTATION, 1) not in (0, 1)
    except Exception:  # as in `read_header`
        return False


def find_fault(data: bytes) -> str:
    """Why the content of a file is not a complete image; "" if nothing is found.

    Looks only for faults that decoders ignore or print themselves.
    """
    if data.startswith(b"\xff\xd8"):
        return "the JPEG is cut short" if ends_early(data) else ""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png_fault(memoryview(data))
    return ""


def ends_early(jpeg: bytes) -> bool:
    """Whether a JPEG is cut short before the end of its image.

    Phones append videos, more images and depth maps, so the end of the file says nothing. An end
    marker inside a segment belongs to a thumbnail, so the segments are followed one by one.

    Args:
        jpeg: bytes that begin with a JPEG's start marker.

    Source: ITU-T T.81, annex B.
    """
    place = 2  # after the start marker
    while place + 4 <= len(jpeg):
        if jpeg[place] != 0xFF:
            return False  # not a marker: the decoder will say what is wrong
        marker = jpeg[place + 1]
        if marker == 0xD9:  # end of image
            return False
        if marker == 0xFF:  # a fill byte
            place += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a segment
            place += 2
        else:
            place += 2 + int.from_bytes(jpeg[place + 2 : place + 4])
            if marker == 0xDA:  # a scan: its data run up to the next marker
                after = SCAN_END.search(jpeg, place)
                if after is None:
                    return True
                place = after.start()
    return jpeg[place : place + 2] != b"\xff\xd9"


def _png_fault(png: memoryview) -> str:
    """Follows the chunks of a PNG to its end and verifies the checksums of the critical ones."""
    place = 8  # after the signature
    while place + 12 <= len(png):
        end = place + 8 + int.from_bytes(png[place : place + 4])
        kind = bytes(png[place + 4 : place + 8])
        if end + 4 > len(png):
            break
        needed = not kind[0] & 0x20  # an upper-case first letter: a critical chunk
        if needed and zlib.crc32(png[place + 4 : end]) != int.from_bytes(png[end : end + 4]):
            return "the PNG is damaged (a wrong checksum)"
        if kind == b"IEND":
            return ""
        place = end + 4
    return "the PNG is cut short"


def open_rgba(data: bytes) -> tuple[Image.Image, int]:
    """`(image, orientation)`: the first image of a file in mode RGBA, and EXIF's number to apply.

    Raises whatever Pillow raises on a damaged file.
    """
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        kind, rgba = image.format, image.convert("RGBA")  # Pillow has turned a TIFF by now
        return rgba, 1 if kind == "TIFF" else find_orientation(image)
