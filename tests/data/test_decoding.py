"""Transparent images get a background that keeps text visible; 16-bit images keep faint text."""

import cv2
import numpy as np
import pytest
from PIL import Image

from ppocr_jax.data.resize import read_image
from ppocr_jax.errors import UserError


def draw_ink(value, background=0):
    """RGBA with a bar of one grey level in the middle, transparent around it."""
    image = np.full((20, 30, 4), background, np.uint8)
    image[..., 3] = 0
    image[8:12, 5:25] = (value, value, value, 255)
    image[8, 5:25, 3] = 128
    return Image.fromarray(image)


def saved(path, image, **options):
    image.save(path, **options)
    return read_image(path)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [("png", {}), ("tif", {}), ("webp", {"lossless": True}), ("avif", {"quality": 100})],
)
@pytest.mark.parametrize(("ink", "ground"), [(0, 255), (60, 255), (200, 0), (255, 0)])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_ink_shows_on_its_ground(tmp_path, suffix, options, ink, ground, mode):
    for hidden in (0, ink, 255):  # what colour transparent pixels have must not matter
        image = saved(tmp_path / f"a.{suffix}", draw_ink(ink, hidden).convert(mode), **options)
        assert image.dtype == np.uint8 and image.shape == (20, 30, 3)
        tolerance = 8 if suffix == "avif" else 1
        assert abs(int(image[0, 0, 0]) - ground) <= tolerance
        assert abs(int(image[10, 15, 1]) - ink) <= tolerance
        if suffix != "avif":
            assert abs(int(image[8, 15, 2]) - (ink + ground) / 2) <= 2


def test_palettes_and_single_clear_colours(tmp_path):
    ink = draw_ink(20)
    solid = Image.new("RGB", ink.size, (255, 255, 255))
    solid.paste(ink, mask=ink)
    for image in (
        saved(tmp_path / "palette.png", ink.quantize(8)),
        saved(tmp_path / "frames.gif", ink, save_all=True, append_images=[draw_ink(255)]),
        saved(tmp_path / "frames.png", ink, save_all=True, append_images=[draw_ink(255)]),
        saved(tmp_path / "frames.webp", ink, save_all=True, append_images=[draw_ink(255)]),
        saved(tmp_path / "key.png", draw_ink(20, 0).convert("RGB"), transparency=(0, 0, 0)),
        saved(tmp_path / "grey.png", draw_ink(20, 0).convert("L"), transparency=0),
    ):
        assert image[0, 0].min() > 250 and image[10, 15].max() < 30


def test_what_is_opaque_or_wholly_clear_keeps_its_colours(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (9, 12, 3)).astype(np.uint8)
    for alpha in (255, 0):
        image = Image.fromarray(colours)
        image.putalpha(alpha)
        actual = saved(tmp_path / "a.png", image)
        np.testing.assert_array_equal(actual, colours[..., ::-1])


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_depths_that_are_stored_in_16_bits(tmp_path, suffix, bits, channels):
    levels = np.linspace(0, 2**bits - 1, 200).astype(np.uint16).reshape(10, 20)
    cv2.imwrite(str(tmp_path / f"a.{suffix}"), cv2.merge([levels] * channels))
    image = read_image(tmp_path / f"a.{suffix}")
    assert image.shape == (10, 20, 3)
    expected = np.repeat(levels[..., None] >> (bits - 8), 3, axis=2)
    assert np.abs(image.astype(int) - expected).max() <= 1


def test_a_faint_picture_of_16_bits_is_not_lost(tmp_path):
    levels = np.full((10, 20), 3600, np.uint16)
    levels[4:6] = 3400  # 14 and 13 of 255 in the upper 8 bits
    cv2.imwrite(str(tmp_path / "a.png"), levels)
    image = read_image(tmp_path / "a.png")
    assert int(image[0, 0, 0]) - int(image[5, 0, 0]) > 10


def test_other_samples_are_named_or_read(tmp_path):
    for mode, message in (("F", "samples are float32"), ("I", "samples are int32")):
        Image.new(mode, (9, 8)).save(tmp_path / "a.tif")
        with pytest.raises(UserError, match=f"a.tif: its {message}: save it with 8 or 16 bits"):
            read_image(tmp_path / "a.tif")
    grey = Image.fromarray(np.arange(240, dtype=np.uint8).reshape(12, 20))
    for mode, name in (("1", "a.png"), ("1", "a.tif"), ("CMYK", "a.jpg"), ("CMYK", "a.tif")):
        image = saved(tmp_path / name, grey.convert("RGB").convert(mode))
        assert image.shape == (12, 20, 3) and image[0].mean() < 100 < image[-1].mean()
    assert saved(tmp_path / "dot.png", Image.new("L", (1, 1), 7)).tolist() == [[[7, 7, 7]]]
