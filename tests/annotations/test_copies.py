"""Copies keep their pixels and lose their metadata."""

import io

import cv2
import numpy as np
import pytest
from annotations.making import GPS, photo
from PIL import Image, PngImagePlugin

from ppocr_jax.annotations.copies import strip, write_copy
from ppocr_jax.data.resize import read_image


def copy(path, tmp_path, turned=False, size=None):
    image = read_image(path)
    target = tmp_path / "copy"
    ending = write_copy(path, image, turned, target, size or image.shape[:2])
    return target.rename(target.with_name(f"copy{ending}")), image


def entries(path):
    with Image.open(path) as image:
        return dict(image.getexif()), set(image.info) - {"jfif", "jfif_version", "jfif_unit",
                                                         "jfif_density", "dpi"}  # fmt: skip


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_loses_its_entries_and_keeps_its_pixels(tmp_path, progressive):
    path = photo(tmp_path / "a.jpg", orientation=1, comment=b"at home")
    with Image.open(path) as image:
        exif = image.getexif()
        image.save(path, exif=exif, comment=b"at home", progressive=progressive,
                   icc_profile=b"profile" * 9, xmp=b"<x:xmpmeta>secret</x:xmpmeta>")  # fmt: skip
    path.write_bytes(path.read_bytes() + b"a video, with its place" + b"\xff\xd9")
    assert GPS in entries(path)[0]
    made, image = copy(path, tmp_path)
    assert made.suffix == ".jpg" and (read_image(made) == image).all()
    assert entries(made) == ({}, {"icc_profile"} | ({"progressive", "progression"} & {
        *entries(made)[1]}))  # fmt: skip
    data = made.read_bytes()
    assert b"secret" not in data and b"at home" not in data and b"its place" not in data


def test_a_png_loses_its_entries_and_keeps_its_pixels(tmp_path):
    path, notes = tmp_path / "a.png", PngImagePlugin.PngInfo()
    notes.add_text("Author", "somebody")
    notes.add_itxt("XML:com.adobe.xmp", "secret")
    exif = Image.Exif()
    exif[0x010E] = "secret too"
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path, pnginfo=notes, exif=exif.tobytes())
    made, image = copy(path, tmp_path)
    assert made.suffix == ".png" and (read_image(made) == image).all()
    assert entries(made) == ({}, set()) and b"secret" not in made.read_bytes()


def test_deep_and_transparent_pngs_are_read_as_before(tmp_path):
    rng = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / "deep.png"), rng.integers(0, 4096, (20, 30, 3)).astype(np.uint16))
    cv2.imwrite(str(tmp_path / "clear.png"), rng.integers(0, 256, (20, 30, 4)).astype(np.uint8))
    for name in ("deep.png", "clear.png"):
        made, image = copy(tmp_path / name, tmp_path)
        assert (read_image(made) == image).all()


@pytest.mark.parametrize("ending", [".tif", ".bmp", ".webp", ".gif"])
def test_others_become_png(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    made, image = copy(path, tmp_path)
    assert made.suffix == ".png" and (read_image(made) == image).all()


def test_a_turned_one_is_upright_in_its_pixels(tmp_path):
    path = photo(tmp_path / "a.jpg", orientation=6)
    made, image = copy(path, tmp_path, turned=True)
    plain = cv2.imread(str(made), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    assert plain.shape == image.shape == (120, 90, 3) and entries(made)[0] == {}
    assert np.abs(plain.astype(int) - image).max() < 12  # JPEG once more


def test_a_large_one_is_reduced(tmp_path):
    made, _ = copy(photo(tmp_path / "a.png"), tmp_path, size=(45, 60))
    assert read_image(made).shape == (45, 60, 3)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe1\0\x09ab", b"RIFF",
                                  b"\x89PNG\r\n\x1a\n\0\0\0\xffIHDR"])  # fmt: skip
def test_damaged_data_are_not_stripped(data):
    assert strip(data) is None


def test_a_jpeg_in_grey_and_one_in_cmyk(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40)).astype(np.uint8)
    for mode in ("L", "CMYK"):
        stream = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(stream, "JPEG")
        (tmp_path / "a.jpg").write_bytes(stream.getvalue())
        made, image = copy(tmp_path / "a.jpg", tmp_path)
        assert (read_image(made) == image).all()
