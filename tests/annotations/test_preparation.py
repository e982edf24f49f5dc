"""The prepared folder: complete or absent, traceable, and open to additions."""

import hashlib
import json
import os
import shutil

import cv2
import numpy as np
import pytest
from annotations.making import labels_of, photo, rows_of, run

from ppocr_jax.annotations import preparation
from ppocr_jax.annotations.folder import Names
from ppocr_jax.data.resize import read_image
from ppocr_jax.errors import UserError
from ppocr_jax.locks import hold_output

QUAD = [[10, 10], [60, 12], [59, 30], [9, 29]]


def write(folder, count=10, seed=0, **more):
    """Writes a label file in PaddleOCR's format and its images."""
    lines = []
    for index in range(count):
        photo(folder / f"p{index}.jpg", seed=100 * seed + index, **more)
        labels = [{"transcription": f"w{index}", "points": QUAD}]
        lines.append(f"p{index}.jpg\t{json.dumps(labels)}\n")
    (folder / "labels.txt").write_text("".join(lines))
    return folder


def contents(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_picture_is_traceable_and_the_source_unchanged(tmp_path):
    source = write(tmp_path / "in")
    photo(source / "unlabelled.jpg", seed=77)
    before = contents(source)
    result, labels = run(source, tmp_path / "out", val=0.2, test=1)
    assert contents(source) == before and not result.faults
    rows = rows_of(tmp_path / "out")
    taken = [row for row in rows if row["picture"]]
    assert sorted(row["split"] for row in taken) == ["test"] + ["train"] * 7 + ["val"] * 2
    for row in taken:
        assert row["picture"].removeprefix("images/") in labels and row["words"] == "1"
        assert (read_image(row["source"]) == read_image(tmp_path / "out" / row["picture"])).all()
    assert [row["source"] for row in rows if not row["picture"]] == [str(source / "unlabelled.jpg")]
    assert [row["reason"] for row in rows if row["reason"]] == ["no labels"]
    assert result.notes[-4:-1] == [
        "train: 7 images, 7 words, 0 ignored, 0 images without text",
        "val: 2 images, 2 words, 0 ignored, 0 images without text",
        "test: 1 image, 1 word, 0 ignored, 0 images without text",
    ]
    assert sorted(os.listdir(tmp_path / "out")) == [
        "images", "prepared.csv", "test.txt", "train.txt", "val.txt"
    ]  # fmt: skip


def test_the_same_command_gives_the_same(tmp_path):
    source = write(tmp_path / "in")
    run(source, tmp_path / "a", val=0.3)
    run(source, tmp_path / "b", val=0.3)
    run(source, tmp_path / "c", val=0.3, seed=1)
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b and a["val.txt"] != c["val.txt"]


def test_copies_of_a_picture_are_on_one_side(tmp_path):
    source = write(tmp_path / "in", count=12)
    lines = (source / "labels.txt").read_text()
    for index in range(6):
        image = cv2.imread(str(source / f"p{index}.jpg"))
        cv2.imwrite(str(source / f"again{index}.png"), cv2.resize(image, None, fx=0.6, fy=0.6))
        lines += f"again{index}.png\t[]\n"
    (source / "labels.txt").write_text(lines)
    result, _ = run(source, tmp_path / "out", val=0.4)
    split = {row["picture"]: row["split"] for row in rows_of(tmp_path / "out")}
    for index in range(6):
        assert split[f"images/p{index}.jpg"] == split[f"images/again{index}.png"]
    assert "kept together: 12 images in 6 groups" in " ".join(result.notes)


def test_groups_by_rule(tmp_path):
    source = write(tmp_path / "in", count=10)
    run(source, tmp_path / "out", val=0.3, groups=r"p(\d)[.]")
    with pytest.raises(UserError, match="10 images in 1 group leave none for val"):
        run(source, tmp_path / "one", val=0.3, groups="folder")
    assert not (tmp_path / "one").exists()


def test_pictures_that_are_all_alike_are_divided_with_a_word(tmp_path):
    source = write(tmp_path / "in", count=6)
    for index in range(1, 6):
        shutil.copy(source / "p0.jpg", source / f"p{index}.jpg")
    result, labels = run(source, tmp_path / "out", val=2)
    assert [row["split"] for row in rows_of(tmp_path / "out")].count("val") == 2
    assert "scores on val or test say little" in result.warnings[-1] and not result.faults


def test_an_output_that_is_there_is_refused_and_continued_with_add(tmp_path):
    first, second = write(tmp_path / "in"), write(tmp_path / "more", count=5, seed=1)
    run(first, tmp_path / "out", val=0.2)
    with pytest.raises(UserError, match="exists already; name another folder, or use --add"):
        run(second, tmp_path / "out")
    (tmp_path / "out" / "note.txt").write_text("mine")
    before = {row["picture"]: row["split"] for row in rows_of(tmp_path / "out")}
    shutil.copy(first / "p3.jpg", second / "same.jpg")
    image = cv2.imread(str(first / "p4.jpg"))
    cv2.imwrite(str(second / "alike.png"), cv2.resize(image, None, fx=0.5, fy=0.5))
    with open(second / "labels.txt", "a") as file:
        file.write("same.jpg\t[]\nalike.png\t[]\n")
    result, labels = run(second, tmp_path / "out", val=0.2, add=True)
    after = {row["picture"]: row["split"] for row in rows_of(tmp_path / "out")}
    assert before.items() <= after.items() and len(labels) == 16
    assert after["images/alike.png"] == after["images/p4.jpg"]
    assert {f"images/p{i}-2.jpg" for i in range(5)} <= set(after)
    assert "already in the folder, left unchanged: 1 image" in result.notes
    assert "no labels" not in " ".join(result.notes)
    assert (tmp_path / "out" / "note.txt").read_text() == "mine"
    again, labels_again = run(second, tmp_path / "out", val=0.2, add=True)
    assert labels_again == labels and "0 images added" in again.notes[-1]


def test_add_needs_what_it_continues(tmp_path):
    source = write(tmp_path / "in", count=2)
    with pytest.raises(UserError, match="there is no folder .*out to add to"):
        run(source, tmp_path / "out", add=True)
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="has no prepared.csv"):
        run(source, tmp_path / "out", add=True)
    run(source, tmp_path / "out")
    record = tmp_path / "out" / "prepared.csv"
    record.write_text(record.read_text().replace("train", "trian"))
    with pytest.raises(UserError, match="is not as prepare-data wrote it"):
        run(source, tmp_path / "out", add=True)


def test_what_is_labelled_later_is_no_longer_left_out(tmp_path):
    source = write(tmp_path / "in", count=3)
    photo(source / "late.jpg", seed=9)
    run(source, tmp_path / "out")
    (source / "labels.txt").write_text("late.jpg\t[]\n")
    run(source, tmp_path / "out", add=True)
    rows = [row for row in rows_of(tmp_path / "out") if row["source"].endswith("late.jpg")]
    assert [row["reason"] for row in rows] == [""]


def test_an_image_skipped_again_keeps_one_row_with_the_latest_reason(tmp_path):
    source = write(tmp_path / "in", count=3)
    photo(source / "late.jpg", seed=9)
    run(source, tmp_path / "out")
    (source / "late.jpg").write_bytes(b"no image any more")
    with open(source / "labels.txt", "a") as file:
        file.write("late.jpg\t[]\n")
    run(source, tmp_path / "out", add=True)
    (row,) = [row for row in rows_of(tmp_path / "out") if row["source"].endswith("late.jpg")]
    assert row["reason"] not in ("", "no labels") and not row["picture"]


def test_links_and_the_longest_side(tmp_path):
    source = write(tmp_path / "in", count=2)
    photo(source / "large.jpg", seed=5, size=(180, 240))
    with open(source / "labels.txt", "a") as file:
        file.write(f"large.jpg\t{json.dumps([{'transcription': 'x', 'points': QUAD}])}\n")
    _, labels = run(source, tmp_path / "out", link=True, max_side=120)
    images = tmp_path / "out" / "images"
    assert os.readlink(images / "p0.jpg") == str(source / "p0.jpg")
    assert not (images / "large.jpg").is_symlink()
    assert read_image(images / "large.jpg").shape == (90, 120, 3)
    assert labels["large.jpg"][0][0] == [[x / 2, y / 2] for x, y in QUAD]
    assert labels["p0.jpg"][0][0] == QUAD
    row = next(row for row in rows_of(tmp_path / "out") if "large" in row["picture"])
    assert (row["width"], row["height"]) == ("120", "90")


def test_exif_turns(tmp_path):
    source = write(tmp_path / "in", count=2, orientation=6)
    result, labels = run(source, tmp_path / "a")
    assert labels["p0.jpg"][0][0] == QUAD
    assert cv2.imread(str(tmp_path / "a/images/p0.jpg"), cv2.IMREAD_UNCHANGED).shape[:2] == (
        120,
        90,
    )
    said = " ".join(result.notes)
    assert "2 images rotated upright by EXIF" in said and "--frame stored" in said
    _, labels = run(source, tmp_path / "b", frame="stored")
    assert labels["p0.jpg"][0][0] == [[90 - y, x] for x, y in QUAD]


def test_odd_names(tmp_path):
    source = tmp_path / "in"
    names = [
        "a\tb.jpg",
        " x .jpg",
        "A.jpg",
        "sub/a.jpg",
        "sub/a.png",
        "日本.jpg",
        "é" * 100 + ".jpg",
    ]
    records = []
    for index, name in enumerate(names):
        photo(source / name, seed=index)
        records.append({"id": index, "file_name": name})
    (source / "coco.json").write_text(json.dumps({"images": records, "annotations": []}))
    result, labels = run(source, tmp_path / "out")
    assert len(labels) == 7 and not result.faults
    assert {"a_b.jpg", "x.jpg", "A.jpg", "a-2.jpg", "a.png", "日本.jpg", "é" * 75 + ".jpg"} == {
        *labels
    }
    names = Names(["X.png"])
    chosen = [names.choose(name, ".png") for name in ("x.tif", "..", "con:1.bmp", "a/../x.png")]
    assert chosen == ["x-2.png", "picture.png", "con_1.png", "x-3.png"]


def test_texts_with_odd_letters_stay_on_one_line(tmp_path):
    photo(tmp_path / "in" / "a.jpg")
    texts = ["a\nb", "\u2028", "\ud800", "\t", "é日", '"']
    labels = [{"transcription": text, "points": QUAD} for text in texts]
    (tmp_path / "in" / "l.txt").write_text(f"a.jpg\t{json.dumps(labels)}\n")
    _, found = run(tmp_path / "in", tmp_path / "out")
    assert [text for _, text in found["a.jpg"]] == texts


def test_nothing_is_left_when_it_fails(tmp_path, monkeypatch):
    source = write(tmp_path / "in", count=3)
    for error in (OSError(28, "No space left on device"), KeyboardInterrupt()):

        def fail(*_, error=error):
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(preparation.folder, "write_rows", fail)
            with pytest.raises(type(error)):
                run(source, tmp_path / "out")
        assert sorted(os.listdir(tmp_path)) == ["in"]
    run(source, tmp_path / "out")
    before = contents(tmp_path / "out")
    photo(source / "new.jpg", seed=8)
    (source / "labels.txt").write_text("new.jpg\t[]\n")
    with monkeypatch.context() as patch:
        patch.setattr(preparation.folder, "write_rows", fail)
        with pytest.raises(KeyboardInterrupt):
            run(source, tmp_path / "out", add=True)
    assert contents(tmp_path / "out") == before and sorted(os.listdir(tmp_path)) == ["in", "out"]


def test_what_a_killed_process_left_is_no_source(tmp_path):
    source = write(tmp_path / "in", count=3)
    shutil.copytree(source, source / "out.tmp")
    result, labels = run(source, source / "out")
    assert len(labels) == 3 and not result.faults and not (source / "out.tmp").exists()


def test_broken_pictures_are_named(tmp_path):
    source = write(tmp_path / "in", count=3)
    data = (source / "p1.jpg").read_bytes()
    (source / "p1.jpg").write_bytes(data[:-200])
    (source / "p2.jpg").write_bytes(b"text")
    result, labels = run(source, tmp_path / "out")
    assert set(labels) == {"p0.jpg"} and result.faults
    said = " ".join(result.warnings)
    assert "labels.txt line 2: the JPEG is cut short; skipped" in said
    assert "labels.txt line 3: not an image" in said
    (source / "p0.jpg").unlink()
    with pytest.raises(UserError, match="no usable image: .*line 1: its image p0.jpg was"):
        run(source, tmp_path / "none")


def test_words_off_the_picture_and_crossed_ones_are_said(tmp_path):
    photo(tmp_path / "in" / "a.jpg")
    quads = [[[200, 10], [260, 10], [260, 30]], [[0, 0], [30, 20], [30, 0], [0, 40]]]
    labels = [{"transcription": "x", "points": points} for points in quads]
    (tmp_path / "in" / "l.txt").write_text(f"a.jpg\t{json.dumps(labels)}\n")
    result, found = run(tmp_path / "in", tmp_path / "out")
    assert [points for points, _ in found["a.jpg"]] == quads and not result.faults
    assert "outside the image" in result.warnings[0] and "word 1" in result.warnings[0]
    assert "outline crosses itself" in result.warnings[1] and "word 2" in result.warnings[1]


def test_several_formats_have_to_be_chosen_from(tmp_path):
    source = write(tmp_path / "in", count=2)
    (source / "coco.json").write_text(
        json.dumps({"images": [{"id": 1, "file_name": "p0.jpg"}], "annotations": []})
    )
    with pytest.raises(UserError, match="coco in 1 file, paddleocr in 1 file; choose one with --f"):
        run(source, tmp_path / "out")
    assert set(run(source, tmp_path / "a", format="coco")[1]) == {"p0.jpg"}
    assert len(run(source, tmp_path / "b", format="paddleocr")[1]) == 2
    with pytest.raises(UserError, match="no labels in the format labelme .*accepted: labelme"):
        run(source, tmp_path / "c", format="labelme")


@pytest.mark.parametrize("name, data, hint", [
    ("a.xml", b"<annotation><object/></annotation>", "Pascal VOC"),
    ("a.txt", b"0 0.5 0.5 0.1 0.1\n", "YOLO"), ("x.zip", b"PK\x03\x04....", "unpack it"),
    ("a.mat", b"MATLAB 7.3 MAT-file", "MATLAB"), ("v.json", b'{"_via_img_metadata": {}}', "VIA"),
    ("n.txt", b"hello\n", "1 .txt"),
])  # fmt: skip
def test_what_is_not_known_gets_a_line_on_what_is(tmp_path, name, data, hint):
    photo(tmp_path / "in" / "a.jpg")
    (tmp_path / "in" / name).write_bytes(data)
    with pytest.raises(UserError, match="holds no labels in any known format") as caught:
        run(tmp_path / "in", tmp_path / "out")
    assert hint in str(caught.value) and "labelme (one .json per image" in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options, reason", [
    (dict(val=1.5), "--val 1.5: give a fraction"), (dict(val=-1), "--val -1"),
    (dict(val=0.6, test=0.4), "leave nothing to train on"), (dict(max_side=5), "at least 32"),
    (dict(format="yolo"), "choose one of labelme"), (dict(images=("gone",)), "no such folder"),
    (dict(val=float("nan")), "--val nan"),
])  # fmt: skip
def test_options_that_cannot_be(tmp_path, options, reason):
    source = write(tmp_path / "in", count=1)
    with pytest.raises(UserError, match=reason):
        run(source, tmp_path / "out", **options)
    assert sorted(os.listdir(tmp_path)) == ["in"]


def test_places_that_cannot_be(tmp_path):
    source = write(tmp_path / "in", count=1)
    with pytest.raises(UserError, match="is also a source"):
        run(source, source)
    with pytest.raises(UserError, match="gone: there is no such file"):
        run(tmp_path / "gone", tmp_path / "out")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is a file; name a folder"):
        run(source, tmp_path / "file")
    with hold_output(tmp_path / "out"), pytest.raises(UserError, match="writing there already"):
        run(source, tmp_path / "out")


def test_an_empty_folder_may_be_there(tmp_path):
    source = write(tmp_path / "in", count=1)
    (tmp_path / "out").mkdir()
    assert len(run(source, tmp_path / "out")[1]) == 1 and labels_of(tmp_path / "out")


def test_several_sources_become_one(tmp_path):
    sources = (write(tmp_path / "a", count=2), write(tmp_path / "b", count=2, seed=1))
    assert set(run(sources, tmp_path / "out")[1]) == {
        "p0.jpg", "p1.jpg", "p0-2.jpg", "p1-2.jpg"
    }  # fmt: skip


def test_the_split_of_the_fine_tuning_page(shared):
    """The division holds out exactly the 100 images that the experiment's page used."""
    import random

    lines = shared("data/icdar2015/train_icdar2015_label.txt").read_text().splitlines()
    shuffled = [line for line in lines if line.strip()]
    random.Random(0).shuffle(shuffled)
    from ppocr_jax.annotations.division import divide

    splits, order = divide(list(range(len(lines))), [""] * len(lines), 100, 0, 0)
    assert [lines[i] for i in order if splits[i] == "val"] == shuffled[:100]
    assert [lines[i] for i in order if splits[i] == "train"] == shuffled[100:]
    assert np.array(order).shape == (1000,)
