"""Arrays give the same pixels as a file with the same image; bad ones are refused with advice."""

import cv2
import numpy as np
import pytest
from PIL import Image

from ppocr_jax.data.arrays import as_bgr
from ppocr_jax.data.resize import read_image

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (40, 60, 3)).astype(np.uint8)


def clear_ink(light):
    """BGRA: an opaque middle, transparent around it."""
    image = np.zeros((40, 60, 4), np.uint8)
    image[10:30, 10:50] = (*((230,) * 3 if light else (20, 40, 60)), 255)
    image[12:14, 10:50, 3] = 77
    return image


@pytest.mark.parametrize(
    "image",
    [
        COLOURS,
        COLOURS[..., 0],
        COLOURS[..., :1],
        clear_ink(light=False),
        clear_ink(light=True),
        np.dstack([COLOURS, np.zeros((40, 60), np.uint8)]),  # all of it clear: no opacity is meant
        RNG.integers(0, 1 << 12, (40, 60, 3)).astype(np.uint16),
        RNG.integers(0, 1 << 16, (40, 60, 3)).astype(np.uint16),
        RNG.integers(0, 1 << 10, (40, 60)).astype(np.uint16),
        RNG.integers(0, 1 << 16, (40, 60, 4)).astype(np.uint16),
    ],
)
def test_an_array_is_read_as_its_file(tmp_path, image):
    path = str(tmp_path / "image.png")
    assert cv2.imwrite(path, image)
    kept = image.copy()
    np.testing.assert_array_equal(as_bgr(image), read_image(path))
    np.testing.assert_array_equal(image, kept)
    if image.ndim == 3 and image.shape[2] >= 3:
        swapped = image[..., [2, 1, 0, *range(3, image.shape[2])]]
        np.testing.assert_array_equal(as_bgr(swapped, "rgb"), read_image(path))


def test_strides_and_flags_do_not_matter():
    whole = np.repeat(np.repeat(COLOURS, 2, 0), 2, 1)
    for view in (whole[::2, ::2], np.asfortranarray(COLOURS), COLOURS[::-1][::-1]):
        np.testing.assert_array_equal(as_bgr(view), COLOURS)
    frozen = COLOURS.copy()
    frozen.flags.writeable = False
    assert np.shares_memory(as_bgr(frozen), frozen)  # nothing is copied without need
    deep = COLOURS.astype(">u2") * 16
    np.testing.assert_array_equal(as_bgr(deep), COLOURS)
    np.testing.assert_array_equal(as_bgr(COLOURS[..., ::-1], "rgb"), COLOURS)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (COLOURS / 255, TypeError, r"but is float64; if its values are 0 to 1, give \(image"),
        (COLOURS.astype(np.int32), TypeError, "should be uint8 or uint16, but is int32"),
        (COLOURS > 9, TypeError, "but is bool"),
        (COLOURS.transpose(2, 0, 1), ValueError, r"channels last.*give image.transpose\(1, 2, 0\)"),
        (COLOURS[None], ValueError, r"is several images: give list\(images\)"),
        (np.zeros((9, 9, 2), np.uint8), ValueError, r"1, 3 or 4 channels, but has .*\(9, 9, 2\)"),
        (np.zeros(9, np.uint8), ValueError, r"should be \[height, width\]"),
        (np.zeros((0, 640, 3), np.uint8), ValueError, "is empty: 640x0 pixels"),
        (np.broadcast_to(np.uint8(0), (20000, 20000)), ValueError, "20000x20000 pixels, which are"),
        (Image.fromarray(COLOURS), TypeError, r"of type Image; give .*convert\('RGB'\)"),
        (b"\xff\xd8", TypeError, "of type bytes; give cv2.imdecode"),
        (None, TypeError, "of type NoneType$"),
        ([COLOURS], TypeError, "of type list$"),
    ],
)
def test_what_is_no_picture_is_refused(image, error, message):
    with pytest.raises(error, match=message):
        as_bgr(image)
