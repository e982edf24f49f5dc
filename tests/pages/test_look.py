"""The page of show-data: it shows what training uses, and needs no other file."""

import csv
import json

import cv2
import numpy as np
import pytest
from PIL import Image
from strict_page import browse, check_alone
from tiny import draw_data, load_config, write_config

from ppocr_jax.data.training_split import Training
from ppocr_jax.detection.network import Network
from ppocr_jax.errors import UserError
from ppocr_jax.pages import look, look_data, look_pictures
from ppocr_jax.pages.histograms import NAMES, draw_histograms

EVIL = 'e<b>&"\x1b[31mvil\u202e.png'


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Ten training images: one with another name, one with ignored, small and crossing labels,
    one that its EXIF entry turns, one damaged and one missing; and a line that is none."""
    folder = draw_data(tmp_path_factory.mktemp("look") / "data")
    (folder / "train_0.png").rename(folder / EVIL)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(folder / "train_1.png").resize((150, 96)).save(folder / "train_1.png", exif=exif)
    (folder / "train_2.png").write_bytes((folder / "train_2.png").read_bytes()[:-900])
    (folder / "train_3.png").unlink()
    lines = (folder / "train.txt").read_text().splitlines()
    lines[0] = lines[0].replace("train_0.png", EVIL)
    odd = [("###", bar(5, 5, 60, 20)), ("x", bar(5, 40, 60, 2)), ("y", [[9, 60], [60, 90], [60, 60],
           [9, 90]])]  # fmt: skip
    odd = [{"transcription": text, "points": points} for text, points in odd]
    lines[4] = f"train_4.png\t{json.dumps(odd)}"
    (folder / "train.txt").write_text("\n".join([*lines, "no tab"]))
    return folder


def bar(x, y, w, h):
    return [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]


@pytest.fixture(scope="module")
def shown(data, tmp_path_factory):
    """`(folder, look, page)` with a base that finds dark bars, a whole row in one box."""
    config = load_config(write_config(data.parent, data))
    folder = tmp_path_factory.mktemp("shown") / "new" / "look"
    (folder / "pictures").mkdir(parents=True)
    for name in ("crop_099.jpg", "mine.jpg"):
        (folder / "pictures" / name).write_bytes(b"earlier")

    def predict(variables, image, area=None):
        grey = np.asarray(image).mean(-1)
        return np.stack([cv2.erode((g < 100).astype(np.float32), np.ones((7, 7))) for g in grey])

    base = look.Base(Network(predict, None, None, "a stand-in"), "w/<x>.pdparams")
    seen = look.show(config, folder, images=10, crops=4, base=base)
    return folder, seen, check_alone((folder / "index.html").read_text(encoding="utf-8"))


def test_page(shown):
    folder, seen, page = shown
    assert "train: 10 images, 29 words, 1 ignored" in page.text
    assert (
        "Training labels: 9 of 9 images" in page.text and "Validation labels: 3 of 3" in page.text
    )
    assert (
        "What w/<x>.pdparams finds" in page.text and "a stand-in; tried on 3 of 3 val" in page.text
    )
    assert 'e<b>&"\\x1b[31mvil\\u202e.png' in page.text  # shown as it is, and harmless
    assert "its first 4 crops" in page.text and "of the crop is text in the shrink map" in page.text
    assert "ignored (*, ###): 1; too small in at least half of their" in page.text
    assert "for evaluation: 1; faulty outline: 1" in page.text
    kinds = [source.partition(";")[0] for source in page.images()]
    assert kinds.count("data:image/svg+xml") == 1
    assert browse(folder / "index.html")[0] == []


def test_what_could_not_be_shown_is_named(shown):
    _, seen, page = shown
    assert any("line 11: has no tab" in line for line in seen.failures)
    assert any("train_3.png: No such file" in line for line in seen.failures)
    assert any("train_2.png: the PNG is cut short" in line for line in seen.failures)
    assert "crosses itself: a bow-tie" in page.text and "cut short" in page.text


def test_files_beside_the_page(shown):
    folder, seen, page = shown
    names = sorted(path.name for path in (folder / "pictures").iterdir())
    assert "mine.jpg" in names and "crop_099.jpg" not in names
    assert len(names) == 16 and "(15 pictures, also in" in seen.lines[-1]  # one cannot be read
    assert {"labels_train_001.jpg", "labels_val_003.jpg", "crop_004.jpg"} <= set(names)
    for name in set(names) - {"mine.jpg"}:
        assert not Image.open(folder / "pictures" / name).getexif()
    rows = list(csv.DictReader((folder / "words.csv").open(encoding="utf-8")))
    assert tuple(rows[0]) == look_data.COLUMNS
    assert len(rows) == 8 * 3 + 2 + 9  # of eight images and one, and of the three of validation
    thin = [row for row in rows if row["image"].endswith("train_4.png")][0]
    assert thin["height_px"] == "2.00" and thin["crops_seen"] == "8"
    assert 4 <= int(thin["crops_too_small"]) < 8 and "train_4.png 2 2.0 60.0" in page.text
    assert rows[0]["image"].endswith('e<b>&"\\x1b[31mvil\\u202e.png')


def test_a_picture_shows_each_kind_of_label(data):
    config = load_config(write_config(data.parent, data))
    split = look_data.read_split(config, "train")
    number = next(i for i, p in enumerate(split.pictures) if "train_4" in p.sample.image_path)
    kinds = look_data.name_kinds(split)[number]
    assert kinds == ["ignored", "small", "faulty"]
    drawn = look_pictures.draw_labels(np.zeros((96, 96, 3), np.uint8),
                                      split.pictures[number].sample.polygons, kinds)  # fmt: skip
    for polygon, kind in zip(split.pictures[number].sample.polygons, kinds, strict=True):
        x, y = (4 * polygon[0]).astype(int)
        colour = drawn[y, x, ::-1].astype(int)
        nearest = min(look_pictures.COLOURS,
                      key=lambda k: np.abs(colour - look_pictures.COLOURS[k]).sum())  # fmt: skip
        assert nearest == kind
    turned = next(p for p in split.pictures if "train_1" in p.sample.image_path)
    assert turned.size == (150, 96)


def test_overlays():
    square = np.zeros((40, 40), np.uint8)
    square[10:20, 10:20] = 1
    example = {
        "image": np.full((40, 40, 3), 100, np.uint8),
        "shrink_map": square,
        "shrink_mask": np.roll(1 - square, 20, 1),
        "threshold_map": 0.3 + 0.4 * square.astype(np.float32),
        "threshold_mask": cv2.dilate(square, np.ones((5, 5))),
    }
    green, masked = look_pictures.lay_shrink_map(example)[15, [15, 35]][:, ::-1].tolist()
    assert green[1] > 120 > 60 > green[0] and masked[0] > 100 > 50 > masked[1]
    heat = look_pictures.lay_threshold_map(example)
    assert heat[15, 15].min() > 110 and heat[30, 30].tolist() == [50, 50, 50]
    assert heat[9, 9].max() < 60  # inside of the mask, far from an edge
    panel, gap = look_pictures.PANEL_SIDE, look_pictures.GAP
    assert look_pictures.draw_crop(example).shape == (panel, 3 * panel + 2 * gap, 3)


def test_which_pictures_are_shown():
    kinds = [["word"]] * 20
    assert look_data.choose(kinds, 4) == [0, 5, 10, 15]
    kinds = [["word"]] * 18 + [["small"], ["faulty", "small"]]
    assert look_data.choose(kinds, 4) == [0, 9, 18, 19]
    assert look_data.choose(kinds, 1) == [0] and look_data.choose(kinds, 0) == []
    assert look_data.choose(kinds, 500) == list(range(20)) and look_data.choose([], 3) == []


def test_histograms_of_nothing_and_of_one_word():
    none = dict.fromkeys(NAMES, [])
    one = {"height": [20], "width": [60], "aspect": [3], "angle": [np.nan], "count": [1]}
    for tables in ({"train": none}, {"train": one, "val": none}):
        assert draw_histograms({"in the image": tables}, {}).startswith("data:image/svg+xml")


def test_data_that_training_refuses_is_shown(data, tmp_path, monkeypatch):
    """With all words ignored, or too few images for a batch, the page still shows the labels."""
    text = (data / "val.txt").read_text()
    for word in ("w0", "w1", "w2"):
        text = text.replace(word, "###")
    (tmp_path / "train.txt").write_text(text)
    config = load_config(write_config(data.parent, data), f"data.train={tmp_path}/train.txt",
                         "data.val=val.txt")  # fmt: skip
    monkeypatch.setattr(look, "draw_histograms", lambda *_: "data:image/svg+xml,")  # a second
    seen = look.show(config, tmp_path / "look", images=2, crops=2)
    page = check_alone((tmp_path / "look" / "index.html").read_text())
    assert "9 words and all are ignored" in page.text and seen.failures == []
    assert "0 of the 0 words in 24 sampled crops" in page.text and "its first 2 crops" in page.text
    with pytest.raises(UserError, match="all are ignored"):
        Training(config)
    (tmp_path / "train.txt").write_text("no tab")
    seen = look.show(config, tmp_path / "look", images=2, crops=2)
    assert seen.failures == [
        f"{tmp_path}/train.txt line 1: has no tab between image path and labels"
    ]
    page = check_alone((tmp_path / "look" / "index.html").read_text())
    assert "There are no images to show" in page.text and "No crops can be made" in page.text
