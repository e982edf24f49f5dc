"""Bad image files are named before they are decoded; headers agree with the decoded image."""

import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from ppocr_jax.data import image_files
from ppocr_jax.data.image_files import count_frames, read_size
from ppocr_jax.data.resize import read_image
from ppocr_jax.errors import UserError


def picture():
    """A smooth image without symmetry, `[20, 30, 3]`."""
    corners = np.random.default_rng(3).integers(0, 256, (2, 3, 3)).astype(np.uint8)
    return cv2.resize(corners, (30, 20), interpolation=cv2.INTER_LINEAR)


def encode(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_that_claims(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_what_is_no_plain_file_is_not_opened(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").mkdir()
    (tmp_path / "c.png").write_bytes(b"")
    with open(tmp_path / "d.png", "wb") as file:
        file.truncate(100 << 30)  # takes no room on the disk
    with open(tmp_path / "e.png", "wb") as file:
        file.truncate(200 << 20)
    monkeypatch.setattr(image_files, "UNSEEN_BYTES", 1000)
    for path, reason in (
        (tmp_path / "a.png", "a pipe, not an image file"),
        (tmp_path / "b.png", "a folder, not an image file"),
        (tmp_path / "c.png", "the file is empty"),
        (tmp_path / "d.png", "102400 MiB are too many"),
        (tmp_path / "e.png", "not an image"),
        ("/dev/zero", "a device, not an image file"),
        (tmp_path / "gone.png", "No such file"),
        (str(tmp_path / "nul\0.png"), "null byte"),
    ):
        with pytest.raises(UserError, match=reason):
            read_image(path)
        assert read_size(path) is None


@pytest.mark.parametrize("sides", [(100_000, 100_000), (2**31 - 1, 1000), (20_000, 9_000)])
def test_sizes_that_are_claimed_are_compared_before_decoding(tmp_path, sides):
    (tmp_path / "a.png").write_bytes(png_that_claims(*sides))
    with pytest.raises(UserError, match=f"{sides[0]}x{sides[1]} pixels are too many"):
        read_image(tmp_path / "a.png")


FORMS = [("PNG", {}), ("WEBP", {"quality": 100}), ("TIFF", {}), ("AVIF", {"quality": 100}),
         ("JPEG", {"quality": 100}), ("GIF", {}), ("BMP", {}), ("JPEG2000", {}),
         ("TIFF", {"compression": "tiff_lzw"}), ("PPM", {})]  # fmt: skip


@pytest.mark.parametrize(("form", "options"), FORMS)
def test_whole_files_are_read_whatever_follows_and_cut_ones_are_named(tmp_path, form, options):
    data = encode(Image.fromarray(picture()), form, **options)
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    expected = read_image(path)
    assert expected.shape == (20, 30, 3)
    for behind in (b"\0" * 999, b"ftypmp42" * 99, data):
        path.write_bytes(data + behind)
        np.testing.assert_array_equal(read_image(path), expected)
    for share in (0.4, 0.8):
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(UserError, match="a.bin: "):
            read_image(path)


def test_a_png_with_a_flipped_bit_is_named_without_a_word_of_the_library(tmp_path, capfd):
    data = bytearray(encode(Image.fromarray(picture()), "PNG"))
    data[data.index(b"IDAT") + 30] ^= 4
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(UserError, match="damaged .a wrong checksum"):
        read_image(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(data[:-9])
    with pytest.raises(UserError, match="PNG"):
        read_image(tmp_path / "a.png")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_orientations_turn_pixels_and_sizes_alike(tmp_path, form, mode):
    if (form, mode) == ("JPEG", "RGBA"):
        pytest.skip("JPEG knows no transparency")
    image = Image.fromarray(picture()[..., ::-1])
    if mode == "RGBA":
        image.putalpha(Image.fromarray(np.where(np.eye(20, 30) > 0, 254, 255).astype(np.uint8)))
    options = {} if form in ("PNG", "TIFF") else {"quality": 100}
    for orientation in range(1, 9):
        exif = image.getexif()
        exif[0x0112] = orientation
        path = tmp_path / "a.bin"
        image.save(path, form, exif=exif, **options)
        with Image.open(io.BytesIO(path.read_bytes())) as opened:
            upright = ImageOps.exif_transpose(opened).convert("RGB")
        actual, expected = read_image(path), np.asarray(upright)[..., ::-1]
        assert read_size(path) == actual.shape[:2] == expected.shape[:2]
        assert image_files.is_turned(path) == (orientation != 1)
        assert np.abs(actual.astype(int) - expected).mean() < 3, orientation


def test_pages_of_a_scan_are_counted(tmp_path):
    page = Image.fromarray(picture())
    page.save(tmp_path / "a.tif", save_all=True, append_images=[page, page])
    page.save(tmp_path / "a.png")
    assert count_frames(tmp_path / "a.tif") == 3 and count_frames(tmp_path / "a.png") == 1
    (tmp_path / "b.tif").write_bytes(b"II*\0")
    assert count_frames(tmp_path / "b.tif") == 1
