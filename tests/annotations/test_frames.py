"""Labels end up where they were drawn, whichever way the camera was held."""

import cv2
import numpy as np
import pytest
from annotations.making import photo
from PIL import Image

from ppocr_jax.annotations.frames import find_frame, read_orientation
from ppocr_jax.annotations.records import LabelledImage
from ppocr_jax.data.resize import read_image

BOX = np.array([[20, 30], [50, 30], [50, 45], [20, 45]], np.float64)


def labelled(size, stretches=False):
    return LabelledImage("a.jpg", "a.json", "a.jpg", [], size, stretches)


def marked(path, orientation, stored_box):
    """A dark image with one light box, whose corners are those of the stored image."""
    image = np.full((90, 120, 3), 20, np.uint8)
    (left, top), (right, bottom) = stored_box.min(0).astype(int), stored_box.max(0).astype(int)
    image[top:bottom, left:right] = 230
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(image).save(path, exif=exif.tobytes())
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_labels_of_the_stored_picture_are_turned_with_it(tmp_path, orientation, ending):
    path = marked(tmp_path / f"a{ending}", orientation, BOX)
    assert read_orientation(path) == orientation
    upright = read_image(path)
    frame = find_frame(labelled((90, 120)), upright.shape[:2], orientation, "stored")
    left, top, width, height = cv2.boundingRect((upright[..., 0] > 120).astype(np.uint8))
    points = frame.apply(BOX)
    assert (points.min(0) == (left, top)).all()
    assert (points.max(0) == (left + width, top + height)).all()


@pytest.mark.parametrize("orientation", [6, 8, 5, 7])
def test_the_stated_size_tells(orientation):
    upright = find_frame(labelled((120, 90)), (120, 90), orientation)
    stored = find_frame(labelled((90, 120)), (120, 90), orientation)
    unknown = find_frame(labelled(None), (120, 90), orientation)
    assert (upright.apply(BOX) == BOX).all() and (unknown.apply(BOX) == BOX).all()
    assert not (stored.apply(BOX) == BOX).all()


def test_what_is_asked_for_counts():
    assert (find_frame(labelled(None), (120, 90), 6, "upright").apply(BOX) == BOX).all()
    assert not (find_frame(labelled(None), (120, 90), 6, "stored").apply(BOX) == BOX).all()
    with pytest.raises(ValueError, match="for 120x90 pixels, but the image has 90x120"):
        find_frame(labelled((90, 120)), (120, 90), 6, "upright")


def test_another_size():
    with pytest.raises(ValueError, match=r"for 60x45 .* has 120x90: use the image"):
        find_frame(labelled((45, 60)), (90, 120), 1)
    with pytest.raises(ValueError, match=r"has 90x120 \(120x90 before its EXIF rotation\)"):
        find_frame(labelled((45, 61)), (120, 90), 6)
    stretched = find_frame(labelled((45, 60), stretches=True), (90, 120), 1)
    assert (stretched.apply(BOX) == 2 * BOX).all()
    with pytest.raises(ValueError):
        find_frame(labelled((45, 70), stretches=True), (90, 120), 1)


def test_a_file_without_a_turn(tmp_path):
    assert read_orientation(photo(tmp_path / "a.jpg")) == 1
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    assert read_orientation(tmp_path / "b.jpg") == 1
