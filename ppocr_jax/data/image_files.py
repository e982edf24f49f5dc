"""Image files before they are decoded: plain files, whole, of a size that can be meant."""

import io
import os
import pathlib
import re
import stat
import warnings
import zlib
from typing import NamedTuple

import cv2
from PIL import Image

from ppocr_jax.data import packed
from ppocr_jax.errors import UserError

MAX_PIXELS = 178_956_970  # as Pillow's guard against decompression bombs
MAX_BYTES = 1 << 30  # 178 million pixels of three times 16 bits fit
UNSEEN_BYTES = 1 << 26  # a larger file is only read when it begins as an image
SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # a marker that is not part of scan data
ORIENTATION = 0x0112  # EXIF
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
Image.init()
# Those that OpenCV reads too. Pillow's others run programs, or are no pictures of pixels.
FORMATS = [name for name in ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "DIB", "AVIF",
                             "JPEG2000", "PPM", "SUN") if name in Image.OPEN]  # fmt: skip

# What is wrong with a file is said in one line here; the libraries say it once more otherwise.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
warnings.filterwarnings("ignore", module=r"PIL\.")
Image.MAX_IMAGE_PIXELS = None  # `MAX_PIXELS` is compared here, so that the size can be said


class Header(NamedTuple):
    """What a file says of its picture.

    Attributes:
        size: (height, width) after turning.
        orientation: EXIF's number from 1 to 8, by which OpenCV leaves it to us to turn the
            picture; 1 where it turns it.
        deep: whether its samples have more than 8 bits.
        clear: whether some of it may be transparent.
    """

    size: tuple[int, int]
    orientation: int
    deep: bool
    clear: bool


def read_bytes(path):
    """The content of an image file.

    Raises:
        UserError: it is not there, no plain file (a pipe would never end), empty, or larger than
            an image can be.
    """
    place = packed.find_place(path)
    if place:
        return _sized(packed.read_picture(place), path)
    path = pathlib.Path(path)
    try:
        size = _plain_size(path)
        if size > UNSEEN_BYTES and read_header(path) is None:
            raise UserError(f"{path}: not an image")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def _sized(data, path):
    """The content of an image file, if it is of a size that can be one. Raises UserError."""
    if not data:
        raise UserError(f"{path}: the file is empty")
    if len(data) > MAX_BYTES:
        raise UserError(f"{path}: {len(data) >> 20} MiB are too many for an image")
    return data


def is_there(path):
    """Whether there is a file of this name, or a record."""
    place = packed.find_place(path)
    return packed.holds(place) if place else os.path.exists(path)


def _source(path):
    """What Pillow opens: a path, or the bytes of a record. Raises UserError: it is damaged."""
    place = packed.find_place(path)
    return io.BytesIO(packed.read_picture(place)) if place else path


def _plain_size(path):
    """Bytes of a plain file that can be an image. Raises UserError: it is none."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        kind = KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise UserError(f"{path}: {kind}, not an image file")
    if not status.st_size:
        raise UserError(f"{path}: the file is empty")
    if status.st_size > MAX_BYTES:
        raise UserError(f"{path}: {status.st_size >> 20} MiB are too many for an image")
    return status.st_size


def read_size(path):
    """`(height, width)` of the picture as `read_image` gives it, from its header; None if that
    cannot be read: whoever reads the whole file says what is wrong with it."""
    try:
        source = _source(path)
        if source is path:
            _plain_size(pathlib.Path(path))
    except (UserError, OSError, ValueError):
        return None
    header = read_header(source)
    return header and header.size


def read_header(source):
    """`Header` of a path or an open file; None for what Pillow does not know or finds damaged."""
    try:
        with Image.open(source, formats=FORMATS) as image:
            width, height = image.size
            orientation = find_orientation(image)
            deep = image.mode[0] in "IF" or ";16" in str(image.tile)
            clear = not deep and ("transparency" in image.info or "a" in image.mode.lower()[1:])
            kind = image.format
    except Exception:  # Pillow lets through whatever comes up in a damaged file
        return None
    if kind == "TIFF":  # Pillow's size is that after turning there
        orientation = 1
    size = (width, height) if orientation >= 5 else (height, width)
    return Header(size, orientation if kind == "AVIF" else 1, deep, clear)


def count_frames(path):
    """Pictures in a TIFF, of which the first is read: pages of a scan; 1 for any other file."""
    if pathlib.Path(path).suffix.lower() not in (".tif", ".tiff"):
        return 1
    try:
        with Image.open(path, formats=["TIFF"]) as image:
            return image.n_frames
    except Exception:  # as in `read_header`
        return 1


def find_orientation(image):
    """EXIF's orientation of an open Pillow image, 1 to 8."""
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif"))  # not `getexif`, which takes XMP too: OpenCV does not
        value = exif.get(ORIENTATION, 1)
    except Exception:  # a damaged entry: the picture can be whole
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def is_turned(path):
    """Whether an entry in the file turns its picture, as `read_image` gives it."""
    try:
        with Image.open(_source(path), formats=FORMATS) as image:
            tags = getattr(image, "tag_v2", {})  # of a TIFF, whose size Pillow gives turned
            return find_orientation(image) != 1 or tags.get(ORIENTATION, 1) not in (0, 1)
    except Exception:  # as in `read_header`
        return False


def find_fault(data):
    """Why the data of a file cannot be a whole picture, in words; "" when nothing is found.

    Only what decoders pass over, or say on the terminal themselves, is looked for.
    """
    if data.startswith(b"\xff\xd8"):
        return "the JPEG is cut short" if ends_early(data) else ""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png_fault(memoryview(data))
    return ""


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


def _png_fault(png):
    """Follows the chunks of a PNG to its end marker and compares the checksums that matter."""
    place = 8
    while place + 12 <= len(png):
        end = place + 8 + int.from_bytes(png[place : place + 4])
        kind = bytes(png[place + 4 : place + 8])
        if end + 4 > len(png):
            break
        needed = not kind[0] & 0x20
        if needed and zlib.crc32(png[place + 4 : end]) != int.from_bytes(png[end : end + 4]):
            return "the PNG is damaged (a wrong checksum)"
        if kind == b"IEND":
            return ""
        place = end + 4
    return "the PNG is cut short"


def open_rgba(data):
    """`(rgba, orientation)`: uint8 `[H, W, 4]` of the first picture, not turned; EXIF's number.

    Raises whatever Pillow does on a damaged file.
    """
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        kind, rgba = image.format, image.convert("RGBA")  # a TIFF is turned by now
        return rgba, 1 if kind == "TIFF" else find_orientation(image)
