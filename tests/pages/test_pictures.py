"""Pictures of predictions: names, outlines and sizes."""

import types

import cv2
import numpy as np

from ppocr_jax.data.labels import Sample
from ppocr_jax.data.resize import read_image
from ppocr_jax.pages import pictures
from ppocr_jax.pages.pictures import picture_names


def test_pictures_get_names_of_their_own():
    paths = ["a/x.png", "b/X.jpg", "x-2.bmp", "c/x.png", "y"]
    assert picture_names(paths) == ["x.jpg", "X-2.jpg", "x-2-2.jpg", "x-3.jpg", "y.jpg"]


WORD = np.array([[10, 10], [50, 10], [50, 30], [10, 30]], np.float32)


def colour_at(image, x, y):
    """Index of the nearest of the three colours used for drawing."""
    colours = (pictures.LABELLED, pictures.IGNORED, pictures.FOUND)
    return int(np.argmin([np.abs(image[y, x].astype(int) - c).sum() for c in colours]))


def test_labels_are_on_the_left_and_finds_on_the_right(tmp_path):
    image = np.zeros((60, 80, 3), np.uint8)
    sample = Sample("a.png", (WORD, WORD + np.float32([0, 25])), (False, True), "a.txt", 1)
    pair = pictures.beside(image, sample, [WORD])
    assert pair.shape == (60, 160, 3) and not image.any()
    assert colour_at(pair, 30, 10) == 0 and colour_at(pair, 30, 55) == 1
    assert colour_at(pair, 80 + 30, 10) == 2 and not pair[:, 80 + 55 :].any()


def test_a_long_picture_is_reduced_to_what_jpeg_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "JPEG_SIDE", 100)
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((40, 200, 3), np.uint8))
    pictures.save_picture(tmp_path / "out.jpg", tmp_path / "a.png", [WORD])
    assert read_image(tmp_path / "out.jpg").shape == (20, 100, 3)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.png", "out.jpg"]


def test_rows_of_predictions_leave_out_what_cannot_be_read(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((50, 100, 3), np.uint8))
    outcomes = [
        types.SimpleNamespace(
            sample=Sample(str(tmp_path / name), (WORD,), (False,), "a.txt", 1), polygons=[WORD]
        )
        for name in ("a.png", "gone.png", "a.png")
    ]
    assert pictures.save_predictions(tmp_path / "rows.png", outcomes, width=400)
    assert read_image(tmp_path / "rows.png").shape == (200, 400, 3)  # two rows of 100
    assert not pictures.save_predictions(tmp_path / "none.png", outcomes[1:2])
    assert not (tmp_path / "none.png").exists()


def test_a_high_thin_image_makes_no_endless_row(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((9000, 2, 3), 200, np.uint8))
    outcome = types.SimpleNamespace(
        sample=Sample(str(tmp_path / "a.png"), (), (), "a.txt", 1), polygons=[]
    )
    assert pictures.save_predictions(tmp_path / "rows.png", [outcome], width=100)
    rows = read_image(tmp_path / "rows.png")
    assert rows.shape == (200, 100, 3) and rows[:, 0].min() > 150 and rows[:, 50].max() == 0
