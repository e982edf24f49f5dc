"""Label Studio's exports: JSON with tasks, JSON-MIN, brushes, rotated boxes, uploads."""

import base64
import json

import numpy as np
import pytest
import shapely
from annotations.making import photo, run
from annotations.rle import brushed

SIZE = {"original_width": 120, "original_height": 90, "image_rotation": 0}
RECT = {"x": 10.0, "y": 20.0, "width": 25.0, "height": 10.0, "rotation": 0}
CORNERS = [[12, 18], [42, 18], [42, 27], [12, 27]]
POLYGON = [[5.0, 40.0], [30.0, 35.0], [60.0, 38.0], [50.0, 52.0], [6.0, 58.0]]


def item(value, kind="rectanglelabels", region="r1", **more):
    return {"id": region, "from_name": "label", "to_name": "image", "type": kind,
            "origin": "manual", "value": value, **SIZE, **more}  # fmt: skip


def task(result, image="/data/upload/1/8a6fd2c1-a%20b.jpg", key="image", **more):
    annotation = {"id": 5, "completed_by": 1, "result": result, "was_cancelled": False,
                  "ground_truth": False, "created_at": "2026-01-02T10:00:00Z"}  # fmt: skip
    return {"id": 3, "annotations": [annotation], "file_upload": "8a6fd2c1-a_b.jpg",
            "predictions": [], "data": {key: image}, **more}  # fmt: skip


def words(tmp_path, *tasks, name="a b.jpg", **more):
    photo(tmp_path / "in" / "photos" / name)
    (tmp_path / "in" / "project-1-at-2026.json").write_text(json.dumps(list(tasks)))
    result, labels = run(tmp_path / "in", tmp_path / "out", **more)
    assert result.notes[0] == "labelstudio: 1 label file"
    return result, labels[name]


def test_rectangles_and_polygons(tmp_path):
    result, found = words(
        tmp_path,
        task([
            item({**RECT, "rectanglelabels": ["Text"]}, meta={"text": ["Hello"]}),
            item({"points": POLYGON, "closed": True, "polygonlabels": ["Text"]},
                 "polygonlabels", "r2"),
            item({**RECT, "rectanglelabels": ["Illegible"]}, region="r3"),
            {"from_id": "r1", "to_id": "r2", "type": "relation", "direction": "right"},
        ]),
    )  # fmt: skip
    expected = (np.array(POLYGON) * [1.2, 0.9]).tolist()
    assert [text for _, text in found] == ["Hello", "", "###"] and not result.faults
    for (points, _), wanted in zip(found, [CORNERS, expected, CORNERS], strict=True):
        np.testing.assert_allclose(points, wanted, rtol=1e-12)


def test_the_template_for_ocr(tmp_path):
    turned = {"x": 50, "y": 50, "width": 25, "height": 10, "rotation": 90}
    _, found = words(
        tmp_path,
        task([
            item(RECT, "rectangle"),
            item({**RECT, "labels": ["Text"]}, "labels"),
            item({**RECT, "text": ["Straße 5"]}, "textarea"),
            item({**turned, "labels": ["Handwriting", "difficult"]}, "labels", "r2"),
            item(turned, "rectangle", "r2"),
        ], key="ocr"),
    )  # fmt: skip
    assert [text for _, text in found] == ["Straße 5", "###"]
    np.testing.assert_allclose(found[1][0], [[60, 45], [60, 75], [51, 75], [51, 45]])


def test_brushes_and_ellipses(tmp_path):
    mask = np.zeros((90, 120), bool)
    mask[20:35, 10:40] = True
    ellipse = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 10, "rotation": 0}
    _, found = words(
        tmp_path,
        task([
            item({"format": "rle", "rle": brushed(mask), "brushlabels": ["Text"]}, "brushlabels"),
            item(ellipse, "ellipselabels", "r2"),
        ]),
    )  # fmt: skip
    assert shapely.Polygon(found[0][0]).equals(shapely.box(10, 20, 40, 35))
    np.testing.assert_allclose(shapely.Polygon(found[1][0]).bounds, (48, 36, 72, 54), rtol=1e-12)


def test_json_min(tmp_path):
    second = {**RECT, "y": 60.0}
    record = {
        "ocr": "/data/upload/1/8a6fd2c1-a%20b.jpg",
        "id": 3,
        "bbox": [{**RECT, **SIZE}, {**second, **SIZE}],
        "label": [{**RECT, "labels": ["Text"], **SIZE}, {**second, "labels": ["Ignore"], **SIZE}],
        "transcription": ["one", "two"],
        "annotator": 1,
        "annotation_id": 5,
        "lead_time": 3.5,
    }
    _, found = words(tmp_path, record)
    assert [text for _, text in found] == ["one", "###"]
    np.testing.assert_allclose(found[0][0], CORNERS, rtol=1e-12)


@pytest.mark.parametrize("address", [
    "http://localhost:8080/data/upload/1/8a6fd2c1-a b.jpg", "s3://bucket/folder/a b.jpg",
    "/data/local-files/?d=photos%2Fa%20b.jpg", "/data/local-files/?d=photos\\a b.jpg", "a b.jpg",
])  # fmt: skip
def test_addresses(tmp_path, address):
    _, found = words(tmp_path, task([item(RECT)], image=address))
    np.testing.assert_allclose(found[0][0], CORNERS, rtol=1e-12)


def test_shares_fit_another_size_but_not_another_shape(tmp_path):
    half = {"original_width": 60, "original_height": 45}
    _, found = words(tmp_path / "a", task([item(RECT, **half)]))
    np.testing.assert_allclose(found[0][0], CORNERS, rtol=1e-12)
    no_size = {"original_width": None, "original_height": None}
    _, found = words(tmp_path / "b", task([item(RECT, **no_size)]))
    np.testing.assert_allclose(found[0][0], CORNERS, rtol=1e-12)


def test_what_is_not_taken_is_named(tmp_path):
    photo(tmp_path / "in" / "photos" / "good.jpg", seed=1)
    photo(tmp_path / "in" / "photos" / "c.jpg", seed=2)
    cancelled = task([item(RECT)], "c.jpg", id=4)
    cancelled["annotations"][0]["was_cancelled"] = True
    wide = task([item(RECT, original_width=500)], "good.jpg", id=6)
    turned = task([item(RECT, image_rotation=90)], "good.jpg", id=7)
    result, found = words(
        tmp_path, task([item({**RECT, "width": None}), item({"x": 1, "y": 1, "width": 2}, region=2),
                        item(RECT, region=3)]), cancelled, wide, turned,
        {**task([]), "id": 8, "data": {"image": "gone.jpg"}, "file_upload": None},
    )  # fmt: skip
    assert len(found) == 1 and result.faults
    said = " ".join(result.warnings)
    for reason in ("width is not a number", "a point has no area", "task 4: nobody has finished",
                   "500x90 pixels, but the image has 120x90", "task 7: was rotated",
                   "its image gone.jpg was not found"):  # fmt: skip
        assert reason in said, reason


def test_of_several_annotations_the_newest_counts_or_the_true_one(tmp_path):
    several = task([item(RECT)])
    several["annotations"].append({"result": [], "created_at": "2026-01-03T10:00:00Z"})
    assert words(tmp_path / "a", several)[1] == []
    several["annotations"][0]["ground_truth"] = True
    assert len(words(tmp_path / "b", several)[1]) == 1


def test_a_picture_in_its_own_address(tmp_path):
    data = base64.b64encode(photo(tmp_path / "x.png", seed=4).read_bytes()).decode()
    export = [task([item(RECT)], f"data:image/png;base64,{data}", file_upload=None)]
    (tmp_path / "export.json").write_text(json.dumps(export))
    _, labels = run(tmp_path / "export.json", tmp_path / "out")
    np.testing.assert_allclose(labels["picture.png"][0][0], CORNERS, rtol=1e-12)


def test_an_annotation_of_a_storage(tmp_path):
    photo(tmp_path / "in" / "a.jpg")
    stored = {"id": 9, "result": [item(RECT)], "was_cancelled": False,
              "task": {"id": 3, "data": {"image": "s3://bucket/a.jpg"}}}  # fmt: skip
    (tmp_path / "in" / "9.json").write_text(json.dumps(stored))
    _, labels = run(tmp_path / "in", tmp_path / "out")
    assert len(labels["a.jpg"]) == 1


def test_vectors(tmp_path):
    vertices = [{"id": str(n), "x": x, "y": y} for n, (x, y) in enumerate(POLYGON)]
    value = {"vertices": vertices, "closed": True, "vectorlabels": ["Text"]}
    _, [(points, _)] = words(tmp_path, task([item(value, "vectorlabels")]))
    np.testing.assert_allclose(points, np.array(POLYGON) * [1.2, 0.9], rtol=1e-12)


def test_json_min_of_boxes_and_polygons_in_turn(tmp_path):
    size = {"original_width": 120, "original_height": 90}
    polygon, second = {"points": POLYGON, **size}, {**RECT, "y": 50.0, **size}
    value = {
        "ocr": "/data/upload/1/8a6fd2c1-a%20b.jpg", "id": 1, "annotator": 1, "annotation_id": 1,
        "bbox": [{**RECT, **size}, second], "poly": [polygon],
        "label": [{**s, "labels": ["Text"]} for s in ({**RECT, **size}, polygon, second)],
        "transcription": ["one", "###", "three"],
    }  # fmt: skip
    result, found = words(tmp_path, value)
    assert [(len(points), text) for points, text in found] == [(4, "one"), (5, "###"), (4, "three")]
    assert not result.warnings
    (tmp_path / "out").rename(tmp_path / "before")
    result, found = words(tmp_path, {**value, "transcription": ["one", "###"]})
    assert [text for _, text in found] == ["", "", ""]
    assert "texts are left out" in result.warnings[0]
