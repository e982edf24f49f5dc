"""Synthetic scenes: reproducible, not trivial, and nothing of one split in the other."""

import json
import os

import cv2
import numpy as np
import pytest

from ppocr_jax.data import scene_parts as parts
from ppocr_jax.data import scenes
from ppocr_jax.data.labels import read_labels
from ppocr_jax.data.scenes import describe, draw_scene, write_scenes
from ppocr_jax.errors import UserError


@pytest.fixture(scope="module")
def drawn():
    return {split: [draw_scene(7, split, i, 256) for i in range(40)] for split in ("train", "val")}


def test_a_scene_is_a_function_of_its_arguments(drawn):
    image, words = draw_scene(7, "train", 3, 256)
    np.testing.assert_array_equal(image, drawn["train"][3][0])
    np.testing.assert_array_equal(words[0].quad, drawn["train"][3][1][0].quad)
    for seed, split, index in ((8, "train", 3), (7, "val", 3), (7, "train", 4)):
        assert (draw_scene(seed, split, index, 256)[0] != image).any()


def test_the_set_is_not_trivial():
    figures = describe([draw_scene(1, "val", i, 448)[1] for i in range(60)])
    assert figures["words_per_scene"] >= 4
    assert figures["turned_more_than_15"] >= 0.1
    assert 0 < figures["ignored_share"] < 0.2
    heights, contrasts = figures["height_px"], figures["contrast_grey"]
    assert heights[0] < 20 and heights[-1] > 32 and heights == sorted(heights)
    assert contrasts[0] >= 90


def test_splits_share_no_word_and_no_background(drawn):
    said = {
        split: {word.text.lower() for _, words in scenes for word in words} - {"###"}
        for split, scenes in drawn.items()
    }
    assert not said["train"] & said["val"]
    for split, words in said.items():
        assert all(parts.split_of_word(word) == split for word in words)
    backgrounds = {image.tobytes() for scenes in drawn.values() for image, _ in scenes}
    assert len(backgrounds) == 80


def test_quads_are_inside_and_hold_their_words(drawn):
    for _, words in drawn["train"]:
        for word in words:
            assert word.quad.min() >= 0 and word.quad.max() <= 256
            sides = np.linalg.norm(word.quad - np.roll(word.quad, -1, 0), axis=1)
            assert cv2.contourArea(word.quad) > 0.8 * sides[0] * sides[1]
            np.testing.assert_allclose(sides[1], word.height, rtol=0.3)


def test_words_do_not_overlap(drawn):
    for _, words in drawn["train"]:
        for i, one in enumerate(words):
            for other in words[i + 1 :]:
                assert cv2.intersectConvexConvex(one.quad, other.quad)[0] == 0


def test_written_scenes_are_read_back_and_kept(tmp_path):
    arguments = dict(
        train_images=3, val_images=2, side=128, seed=5, train_labels="a.txt", val_labels="b.txt"
    )
    write_scenes(tmp_path, **arguments)
    train, val = (read_labels(name, tmp_path) for name in ("a.txt", "b.txt"))
    assert len(train) == 3 and len(val) == 2
    for sample, (image, words) in zip(
        train, (draw_scene(5, "train", i, 128) for i in range(3)), strict=True
    ):
        stored = cv2.imread(sample.image_path)
        assert np.abs(stored.astype(float) - image).mean() < 12  # JPEG
        assert len(sample.polygons) == len(words)
        for polygon, word in zip(sample.polygons, words, strict=True):
            np.testing.assert_allclose(polygon, word.quad, atol=0.06)
        assert list(sample.ignore) == [word.text == "###" for word in words]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")}
    write_scenes(tmp_path, **arguments)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")}
    write_scenes(tmp_path, **{**arguments, "seed": 6})
    assert json.loads((tmp_path / "scenes.json").read_text())["seed"] == 6
    assert before != {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")}


FEW = dict(train_images=1, val_images=1, side=96, seed=5, train_labels="a.txt", val_labels="b.txt")


def contents(folder):
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "name",
    ["../b.txt", "/tmp/b.txt", "sub/b.txt", "sub\\b.txt", "..", "", "b.txt,c.txt", "a.txt",
     "scenes.json", "images"],
)  # fmt: skip
def test_labels_carry_no_path(tmp_path, name):
    folder = tmp_path / "scenes"
    with pytest.raises(UserError, match="is not such a name; use config.data.train=train.txt"):
        write_scenes(folder, **{**FEW, "val_labels": name})
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_others_is_replaced(tmp_path):
    (tmp_path / "b.txt").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(UserError, match="holds files but no scenes.json.*--config.data.root"):
        write_scenes(tmp_path, **FEW)
    assert contents(tmp_path) == before and not (tmp_path / "images").exists()


def test_nothing_of_others_is_replaced_in_a_folder_of_scenes(tmp_path):
    folder = tmp_path / "scenes"
    write_scenes(folder, **FEW)
    (folder / "mine.txt").write_text("mine")
    (folder / "link.txt").symlink_to(tmp_path / "nowhere")
    before = contents(folder)
    for name in ("mine.txt", "link.txt"):
        with pytest.raises(UserError, match=f"{name}: was not written by this program"):
            write_scenes(folder, **{**FEW, "val_labels": name})
    assert contents(folder) == before
    (folder / "images").rename(tmp_path / "elsewhere")
    (folder / "images").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="images: was not written"):
        write_scenes(folder, **{**FEW, "seed": 6})


def test_a_split_that_is_not_drawn_keeps_its_labels(tmp_path):
    (tmp_path / "scenes").mkdir()
    real = tmp_path / "train.txt"
    real.write_text("mine")
    write_scenes(tmp_path / "scenes", **{**FEW, "train_images": 0, "train_labels": str(real)})
    assert real.read_text() == "mine" and read_labels("b.txt", tmp_path / "scenes")


def test_drawing_that_was_cut_short_goes_on(tmp_path, monkeypatch):
    def cut(folder, *_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(scenes, "_write_scene", cut)
        with pytest.raises(KeyboardInterrupt):
            write_scenes(tmp_path, **FEW)
    assert os.listdir(tmp_path / "images") == []
    assert scenes.read_record(tmp_path)["unfinished"]
    write_scenes(tmp_path, **FEW)
    assert "unfinished" not in scenes.read_record(tmp_path)
    assert len(read_labels("b.txt", tmp_path)) == 1


def test_a_damaged_record_is_one_line(tmp_path):
    (tmp_path / "scenes.json").write_text("{")
    with pytest.raises(UserError, match="scenes.json: not readable as JSON"):
        write_scenes(tmp_path, **FEW)
