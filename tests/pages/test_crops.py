"""Cut out boxes: the pixels inside, upright, in files with unique names."""

import cv2
import numpy as np
import pytest

from ppocr_jax.data.polygons import box_around
from ppocr_jax.pages.crops import cut_out, save_crops
from ppocr_jax.pages.pictures import picture_names

IMAGE = cv2.resize(np.random.default_rng(0).integers(0, 256, (12, 16, 3)).astype(np.uint8),
                   (160, 120), interpolation=cv2.INTER_CUBIC)  # fmt: skip


def corners(left, top, right, bottom):
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.int32)


def test_an_upright_box_gives_its_pixels():
    np.testing.assert_array_equal(cut_out(IMAGE, corners(20, 30, 90, 60)), IMAGE[30:60, 20:90])
    # As far as the picture goes; the last pixels are repeated where a box goes beyond.
    np.testing.assert_array_equal(cut_out(IMAGE, corners(0, 0, 160, 120)), IMAGE)


def test_a_high_box_is_turned_to_the_left():
    expected = cv2.rotate(IMAGE[10:100, 20:50], cv2.ROTATE_90_COUNTERCLOCKWISE)
    np.testing.assert_array_equal(cut_out(IMAGE, corners(20, 10, 50, 100)), expected)
    assert cut_out(IMAGE, corners(20, 10, 60, 60)).shape == (50, 40, 3)  # not high enough


@pytest.mark.parametrize("angle", [-30, 15, 40])
def test_a_turned_box_comes_out_upright(angle):
    """A box cut out of a rotated image equals the same part of the original."""
    turn = cv2.getRotationMatrix2D((80, 60), angle, 1.0)
    turned = cv2.warpAffine(IMAGE, turn, (160, 120), flags=cv2.INTER_CUBIC)
    box = corners(50, 45, 110, 75)
    moved = cv2.transform(box[None].astype(np.float32), turn)[0]
    for polygon in (moved, np.insert(moved, 1, moved[:2].mean(0), axis=0)):  # a fifth point
        crop = cut_out(turned, polygon)
        assert crop.shape == (30, 60, 3)
        assert np.abs(crop.astype(int) - IMAGE[45:75, 50:110]).mean() < 4
    assert len(box_around(moved)[0]) == 4


@pytest.mark.parametrize(
    "box", [(5, 5, 5, 5), (159, 119, 160, 119), (160, 120, 160, 120), (3, 7, 90, 7)]
)
def test_a_box_without_area_is_at_least_a_pixel(box):
    assert cut_out(IMAGE, corners(*box)).size >= 3


def test_each_box_has_a_file(tmp_path):
    names = picture_names(["a/x.png", "b/x.png", "c/x_0.png", "d/" + "ü" * 125 + ".png"])
    for index, name in enumerate(names):
        cv2.imwrite(str(tmp_path / "in.png"), IMAGE + index)
        boxes = [corners(20, 30, 90, 60), corners(0, 0, 30, 30)]
        stem = name.removesuffix(".jpg")
        assert save_crops(tmp_path, stem, tmp_path / "in.png", boxes) == [
            f"{stem}_0.png", f"{stem}_1.png"
        ]  # fmt: skip
        first = cv2.imread(str(tmp_path / f"{stem}_0.png"))
        np.testing.assert_array_equal(first, (IMAGE + index)[30:60, 20:90])
    assert len(list(tmp_path.iterdir())) == 1 + 2 * 4
    assert save_crops(tmp_path, "none", tmp_path / "gone.png", []) == []
