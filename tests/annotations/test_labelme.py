"""labelme files as versions 3 to 5 and X-AnyLabeling write them."""

import base64
import json

import cv2
import numpy as np
import pytest
from annotations.making import photo, run

QUAD = [[10.25, 10.5], [60.123456789, 12.0], [59.5, 30.75], [9.0, 29.0]]
SEVEN = [[5, 40], [30, 35], [60, 38], [90, 44], [88, 60], [50, 52], [6, 58]]


def shape(label, points, kind="polygon", **more):
    return {
        "label": label,
        "points": points,
        "group_id": None,
        "description": "",
        "shape_type": kind,
        "flags": {},
        "mask": None,
        **more,
    }


def write(path, shapes, image="a.png", size=(90, 120), data=None, version="5.4.1"):
    path.parent.mkdir(parents=True, exist_ok=True)
    value = {"version": version, "flags": {}, "shapes": shapes, "imagePath": image,
             "imageData": data, "imageHeight": size and size[0],
             "imageWidth": size and size[1]}  # fmt: skip
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")


def prepared(tmp_path, *shapes, **more):
    photo(tmp_path / "in" / "a.png")
    write(tmp_path / "in" / "a.json", list(shapes), **more)
    result, labels = run(tmp_path / "in", tmp_path / "out")
    return result, labels["a.png"]


def test_polygons_survive_with_all_points(tmp_path):
    result, words = prepared(tmp_path, shape("Straße", QUAD), shape("curved", SEVEN))
    assert words == [(QUAD, "Straße"), (SEVEN, "curved")]
    assert result.notes[0] == "labelme: 1 label file" and not result.faults


def test_rectangles_of_any_two_corners_or_four_points(tmp_path):
    corners = [[10, 10], [60, 10], [60, 30], [10, 30]]
    _, words = prepared(
        tmp_path,
        shape("a", [[10, 10], [60, 30]], "rectangle"),
        shape("b", [[60, 30], [10, 10]], "rectangle"),
        shape("c", [[60, 10], [10, 30]], "rectangle"),
        shape("d", corners, "rectangle"),
        shape("e", QUAD, "rotation", direction=0.04, difficult=True),
    )
    assert [points for points, _ in words] == [corners] * 4 + [QUAD]
    assert [text for _, text in words] == ["a", "b", "c", "d", "###"]


@pytest.mark.parametrize("more", [
    dict(label="###"), dict(label="*"), dict(label="difficult"), dict(label="don't care"),
    dict(flags={"difficult": True}), dict(flags={"Ignore": True, "other": False}),
    dict(difficult=True), dict(description="illegible"),
])  # fmt: skip
def test_marks_of_what_is_ignored(tmp_path, more):
    first = shape("word", QUAD) | more
    _, words = prepared(tmp_path, first, shape("b", SEVEN, flags={"difficult": False}))
    assert words == [(QUAD, "###"), (SEVEN, "b")]


def test_what_has_no_area_is_left_out_with_a_line(tmp_path):
    result, words = prepared(
        tmp_path,
        shape("p", [[5, 5]], "point"),
        shape("l", [[5, 5], [9, 9]], "line"),
        shape("s", [[5, 5], [9, 9], [20, 9]], "linestrip"),
        shape("c", [[50, 50], [50, 60]], "circle"),
        shape("two", [[5, 5], [9, 9]]),
        shape("flat", [[5, 5], [50, 50], [20, 20]]),
        shape("nan", [[5, 5], [float("nan"), 9], [9, 9]]),
        shape("text", [["x", 5], [1, 9], [9, 9]]),
        shape("good", QUAD),
    )
    circle, good = words
    assert good == (QUAD, "good") and result.faults
    assert np.allclose(np.hypot(*(np.array(circle[0]) - 50).T), 10)
    said = " ".join(result.warnings)
    for reason in ("a point has no area", "a line has no area", "a linestrip has no area",
                   "2 points; at least 3", "without area", "not finite",
                   "not pairs of numbers"):  # fmt: skip
        assert reason in said


def test_a_mask_becomes_its_outline(tmp_path):
    mask = np.zeros((21, 41), np.uint8)
    mask[:, :] = 255
    encoded = base64.b64encode(cv2.imencode(".png", mask)[1].tobytes()).decode()
    _, words = prepared(tmp_path, shape("m", [[20, 30], [60, 50]], "mask", mask=encoded))
    assert sorted(words[0][0]) == [[20, 30], [20, 51], [61, 30], [61, 51]]


def test_a_description_is_the_text(tmp_path):
    _, words = prepared(tmp_path, shape("text", QUAD, description="Hello"))
    assert words == [(QUAD, "Hello")]


def test_files_of_version_3_and_edited_ones(tmp_path):
    old = {"label": "a", "points": QUAD, "line_color": None, "fill_color": None}
    _, words = prepared(tmp_path, old, size=None, version="3.16.7")
    assert words == [(QUAD, "a")]


@pytest.mark.parametrize("name", ["..\\photos\\a.png", "../photos/a.png", "D:\\x\\photos\\a.png",
                                  "/home/somebody/photos/a.png", "A.PNG", "gone.png"])  # fmt: skip
def test_paths_of_pictures(tmp_path, name):
    beside = tmp_path / "in" / ("json" if name == "gone.png" else "photos") / "a.png"
    photo(beside)
    write(tmp_path / "in" / "json" / "a.json", [shape("a", QUAD)], image=name)
    _, labels = run(tmp_path / "in", tmp_path / "out")
    assert labels == {"a.png": [(QUAD, "a")]}


def embedded(path):
    return base64.b64encode(path.read_bytes()).decode()


def test_a_picture_that_is_only_inside(tmp_path):
    inside = photo(tmp_path / "else.png", seed=3)
    write(tmp_path / "in" / "a.json", [shape("a", QUAD)], data=embedded(inside))
    result, labels = run(tmp_path / "in", tmp_path / "out")
    assert labels == {"a.png": [(QUAD, "a")]} and not result.faults
    assert (cv2.imread(str(tmp_path / "out/images/a.png")) == cv2.imread(str(inside))).all()
    assert "images taken from inside" in result.warnings[0]


def test_the_one_inside_counts_where_the_file_is_another(tmp_path):
    inside = photo(tmp_path / "else.png", seed=3)
    photo(tmp_path / "in" / "a.png", size=(300, 300))
    write(tmp_path / "in" / "a.json", [shape("a", QUAD)], data=embedded(inside))
    run(tmp_path / "in", tmp_path / "out")
    assert (cv2.imread(str(tmp_path / "out/images/a.png")) == cv2.imread(str(inside))).all()


def test_another_size_and_broken_files_are_refused_by_name(tmp_path):
    for name in "abcd":
        photo(tmp_path / "in" / f"{name}.png", seed=ord(name))
    write(tmp_path / "in" / "a.json", [shape("a", QUAD)], image="a.png")
    write(tmp_path / "in" / "b.json", [shape("a", QUAD)], image="b.png", size=(45, 60))
    (tmp_path / "in" / "c.json").write_text('{"shapes": [')
    write(tmp_path / "in" / "d.json", [shape("a", QUAD)], image="d.png", data="%%%", size=(1, 2))
    write(tmp_path / "in" / "e.json", ["no shape"], image="a.png")
    result, labels = run(tmp_path / "in", tmp_path / "out")
    assert set(labels) == {"a.png"} and result.faults
    said = "\n".join(result.warnings)
    assert "b.json: its labels are for 60x45 pixels, but the image has 120x90" in said
    assert "c.json: not readable as JSON" in said and "e.json: shape 1 is not a mapping" in said
    assert "d.json: the embedded image cannot be read" in said


def test_no_shapes_are_a_picture_without_text(tmp_path):
    result, words = prepared(tmp_path)
    assert words == [] and "1 image without text" in " ".join(result.notes)


@pytest.mark.parametrize("shapes, reason", [
    ([shape("a", [[10**400, 1], [5, 5], [9, 1]])], "beyond"), ([shape("a", None)], "no points"),
    ([shape("a", [[5, 5], []], "circle")], "a circle: not in the form its tool writes"),
    ([shape("a", [[5, 5], [9, 9]], "mask", mask="")], "a mask: "),
    ([shape("a", [[1, 1], [2, 2], [3]])], "not pairs of numbers"),
])  # fmt: skip
def test_other_kinds_of_values_are_named(tmp_path, shapes, reason):
    result, words = prepared(tmp_path, *shapes, shape("good", QUAD))
    assert words == [(QUAD, "good")] and reason in " ".join(result.warnings) and result.faults


@pytest.mark.parametrize("size", [(0.5, 0.5), ("90", 120), (True, True), (-1, 5), (None, 120)])
def test_a_size_that_is_none_is_not_compared(tmp_path, size):
    assert prepared(tmp_path, shape("a", QUAD), size=size)[1] == [(QUAD, "a")]


def test_shapes_of_one_group_are_one_word_where_that_is_certain(tmp_path):
    left, right = [[10, 10], [30, 10], [30, 30], [10, 30]], [[30, 10], [60, 10], [60, 30], [30, 30]]
    far = [[34, 10], [60, 10], [60, 30], [34, 30]]
    result, words = prepared(
        tmp_path,
        shape("text", left, group_id=1),
        shape("text", right, group_id=1),  # they touch
        shape("text", left, group_id=2),
        shape("text", far, group_id=2),  # a class and a group: perhaps the words of a line
        shape("text", left, group_id=3, description="POLE"),
        shape("text", far, group_id=3, description="POLE"),
        shape("other", left, group_id=3),
    )
    sizes = [(np.min(p, 0).tolist(), np.max(p, 0).tolist(), text) for p, text in words]
    whole, one, two = ([10, 10], [60, 30]), ([10, 10], [30, 30]), ([34, 10], [60, 30])
    assert sizes == [
        (*whole, "text"), (*one, "text"), (*two, "text"), (*whole, "POLE"), (*one, "other")
    ]  # fmt: skip
    said = "\n".join(result.warnings)
    assert "words of several shapes, joined by their group_id: 2" in said
    assert "groups of shapes that lie apart; each shape became a word: 1" in said


def test_attributes_and_oriented_rectangles(tmp_path):
    _, words = prepared(
        tmp_path,
        shape("a", QUAD, attributes={"quality": "illegible"}),  # X-AnyLabeling's
        shape("b", QUAD, attributes={"legible": "true"}),
        shape("c", QUAD, flags={"difficult": False}),
        shape("d", [[10, 10], [60, 10], [60, 30]], "oriented_rectangle"),
    )
    assert [text for _, text in words] == ["###", "b", "c", "d"]
    assert words[3][0] == [[10, 10], [60, 10], [60, 30], [10, 30]]
