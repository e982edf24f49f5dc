"""COCO files with polygons, boxes and masks, also those of CVAT and COCO-Text."""

import json

import numpy as np
import pytest
import shapely
from annotations.making import photo, rows_of, run
from annotations.rle import compressed, counts_of

SEVEN = [5, 40, 30, 35, 60, 38, 90, 44, 88, 60, 50, 52, 6.5, 58.25]
PAIRS = [[5, 40], [30, 35], [60, 38], [90, 44], [88, 60], [50, 52], [6.5, 58.25]]
BOX = [[10, 20], [40, 20], [40, 35], [10, 35]]


def write(folder, *annotations, images=None, categories=("text",), name="instances.json"):
    photo(folder / "images" / "a.jpg")
    photo(folder / "images" / "b.jpg", seed=1)
    images = images or [
        {"id": 7, "file_name": "a.jpg", "width": 120, "height": 90},
        {"id": 9, "file_name": "images/b.jpg", "width": 120, "height": 90},
    ]
    listed = [
        {"id": index, "image_id": 7, "category_id": 1, "area": 1.0, "iscrowd": 0, **annotation}
        for index, annotation in enumerate(annotations, 1)
    ]
    value = {
        "info": {},
        "licenses": [],
        "images": images,
        "annotations": listed,
        "categories": [{"id": i, "name": n} for i, n in enumerate(categories, 1)],
    }
    (folder / name).write_text(json.dumps(value))
    return folder


def words(tmp_path, *annotations, **more):
    result, labels = run(write(tmp_path / "in", *annotations), tmp_path / "out", **more)
    assert labels["b.jpg"] == []
    return result, labels["a.jpg"]


def test_polygons_boxes_and_what_is_ignored(tmp_path):
    result, found = words(
        tmp_path,
        {"segmentation": [SEVEN], "bbox": [0, 0, 1, 1], "utf8_string": "Straße"},
        {"segmentation": [], "bbox": [10, 20, 30, 15], "attributes": {"transcription": "box"}},
        {"bbox": [10, 20, 30, 15], "iscrowd": 1},
        {"bbox": [10, 20, 30, 15], "ignore": 1},
        {"bbox": [10, 20, 30, 15], "attributes": {"difficult": True, "occluded": False}},
        {"bbox": [10, 20, 30, 15], "attributes": {"legibility": "illegible"}},
    )
    assert found == [(PAIRS, "Straße"), (BOX, "box")] + [(BOX, "###")] * 4
    assert result.notes[0] == "coco: 1 label file" and not result.faults


def test_turned_boxes(tmp_path):
    _, found = words(
        tmp_path,
        {"segmentation": [], "bbox": [10, 20, 30, 10], "attributes": {"rotation": 90.0}},
        {"bbox": [25, 25, 30, 10, -90]},
        {"bbox": [10, 20, 40, 20, 40, 35, 10, 35]},
    )
    upright = [[30, 10], [30, 40], [20, 40], [20, 10]]
    np.testing.assert_allclose(found[0][0], upright, atol=1e-9)
    np.testing.assert_allclose(found[1][0], upright, atol=1e-9)
    assert found[2][0] == BOX


def test_masks_of_both_forms(tmp_path):
    mask = np.zeros((90, 120), bool)
    mask[20:35, 10:40] = True
    counts = counts_of(mask)
    _, found = words(
        tmp_path,
        {"segmentation": {"size": [90, 120], "counts": counts}},
        {"segmentation": {"size": [90, 120], "counts": compressed(counts)}, "iscrowd": 1},
    )
    assert [text for _, text in found] == ["", "###"]
    for points, _ in found:
        assert shapely.Polygon(points).equals(shapely.box(10, 20, 40, 35))


def test_several_parts(tmp_path):
    left, right = [10, 20, 30, 20, 30, 35, 10, 35], [34, 20, 60, 20, 60, 35, 34, 35]
    far = [90, 70, 110, 70, 110, 85, 90, 85]
    result, found = words(
        tmp_path,
        {"segmentation": [left, right]},
        {"segmentation": [left, far]},
        {"segmentation": [left, [1, 2]]},
        {"segmentation": left},
    )
    assert shapely.Polygon(found[0][0]).equals(shapely.box(10, 20, 60, 35))
    assert [len(points) for points, _ in found] == [4] * 5
    assert "far apart" in " ".join(result.warnings)


def test_what_is_broken_is_named(tmp_path):
    result, found = words(
        tmp_path,
        {"segmentation": {"size": [9, 9], "counts": [81]}},
        {"segmentation": [[1, 2, 3]]},
        {"segmentation": [[1, 2, 3, 4]]},
        {"bbox": [1, 2]},
        {"bbox": [10, 10, 0, 0]},
        {"bbox": ["a", 1, 2, 3]},
        {"image_id": 55, "bbox": [10, 20, 30, 15]},
        {"bbox": [10, 20, 30, 15], "text": "good"},
    )
    assert found == [(BOX, "good")] and result.faults
    said = " ".join(result.warnings)
    for reason in ("9x9 pixels in an image of 120x90", "do not form pairs", "fewer than 3 points",
                   "of 4, 5 or 8 numbers", "without area",
                   "annotations of an image that is not listed"):  # fmt: skip
        assert reason in said, reason
    assert "annotation 1)" in said


def test_classes_are_chosen(tmp_path):
    box = {"bbox": [10, 20, 30, 15]}
    many = [{**box, "category_id": 1 + (i % 2)} for i in range(24)]
    folder = write(tmp_path / "in", *many, categories=("text", "logo"))
    result, labels = run(folder, tmp_path / "all")
    assert len(labels["a.jpg"]) == 24
    assert "classes: text 12, logo 12; all count as text" in " ".join(result.notes)
    result, labels = run(folder, tmp_path / "one", classes=("text",))
    assert len(labels["a.jpg"]) == 12 and not result.faults
    assert "not in --classes: 12" in " ".join(result.warnings)


def test_an_image_without_its_file(tmp_path):
    images = [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "gone.jpg"}, {"id": 9}]
    result, labels = run(write(tmp_path / "in", images=images), tmp_path / "out")
    assert labels == {"a.jpg": []} and result.faults
    reasons = {row["source"]: row["reason"] for row in rows_of(tmp_path / "out")}
    assert "its image gone.jpg was not found" in reasons["gone.jpg"]
    assert reasons[str(tmp_path / "in/images/b.jpg")] == "no labels"


@pytest.mark.parametrize("shape", ["mask", "polygon"])
def test_coco_text(tmp_path, shape):
    photo(tmp_path / "in" / "COCO_train2014_000000000009.jpg")
    words = {
        "45": {"id": 45, "image_id": 9, shape: SEVEN, "bbox": [1, 1, 9, 9], "language": "english",
               "utf8_string": "shop", "legibility": "legible", "class": "machine printed"},
        "46": {"id": 46, "image_id": 9, "bbox": [10, 20, 30, 15], "utf8_string": "",
               "legibility": "illegible"},
    }  # fmt: skip
    image = {"id": 9, "file_name": "COCO_train2014_000000000009.jpg", "width": 120, "height": 90,
             "set": "train"}  # fmt: skip
    value = {"imgs": {"9": image}, "anns": words, "imgToAnns": {"9": [45, 46]}, "cats": {}}
    (tmp_path / "in" / "cocotext.v2.json").write_text(json.dumps(value))
    result, labels = run(tmp_path / "in", tmp_path / "out")
    assert labels == {"COCO_train2014_000000000009.jpg": [(PAIRS, "shop"), (BOX, "###")]}
    assert result.notes[0] == "cocotext: 1 label file"


def test_attributes_as_people_name_them_in_cvat(tmp_path):
    own = ({"Text": "Aa"}, {"Legible": "false", "text": "b"}, {"legible": True, "text": "c"},
           {"quality": "Illegible"}, {"text": "illegible"}, {"Difficult": "1"})  # fmt: skip
    _, found = words(tmp_path, *({"bbox": [10, 20, 30, 15], "attributes": a} for a in own))
    assert [text for _, text in found] == ["Aa", "###", "c", "###", "illegible", "###"]


def test_textocr(tmp_path):
    photo(tmp_path / "in" / "train" / "a0.jpg")
    image = {"id": "a0", "width": 120, "height": 90, "set": "train", "file_name": "train/a0.jpg"}
    anns = {
        f"a0_{n}": {"id": f"a0_{n}", "image_id": "a0", "bbox": [0, 0, 9, 9], "area": 1.0,
                    "utf8_string": text, "points": SEVEN}
        for n, text in enumerate(("word", "."))
    }  # fmt: skip
    value = {"info": {}, "imgs": {"a0": image}, "anns": anns, "imgToAnns": {"a0": list(anns)}}
    (tmp_path / "in" / "TextOCR.json").write_text(json.dumps(value))
    assert run(tmp_path / "in", tmp_path / "out")[1] == {
        "a0.jpg": [(PAIRS, "word"), (PAIRS, "###")]
    }
