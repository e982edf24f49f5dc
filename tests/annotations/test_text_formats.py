"""PPOCRLabel, ICDAR's gt files, Total-Text and CTW1500."""

import json

import numpy as np
import pytest
import scipy.io
from annotations.making import photo, run

from ppocr_jax.errors import UserError

QUAD = [[10, 10], [60, 12], [59, 30], [9, 29]]
SEVEN = [[5, 40], [30, 35], [60, 38], [90, 44], [88, 60], [50, 52], [6, 58]]


def flat(points):
    return ",".join(str(number) for point in points for number in point)


# --- PPOCRLabel and label files -----------------------------------------------------------------


def entry(text, points, **more):
    return {"transcription": text, "points": points, "difficult": False, **more}


def test_ppocrlabel(tmp_path):
    folder = tmp_path / "photos"
    photo(folder / "a.jpg")
    photo(folder / "b c.jpg", seed=1)
    photo(folder / "crop_img" / "a_crop_0.jpg", seed=2)
    lines = [
        ("photos/a.jpg", [entry("Straße", QUAD), entry("x", SEVEN, difficult=True)]),
        ("photos\\b c.jpg", [entry("###", QUAD), entry("*", QUAD), entry("y", SEVEN)]),
    ]
    text = "".join(f"{n}\t{json.dumps(e, ensure_ascii=False)}\r\n" for n, e in lines)
    (folder / "Label.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    (folder / "Cache.cach").write_text("{}")
    (folder / "rec_gt.txt").write_text("crop_img/a_crop_0.jpg\tStraße\n")
    (folder / "fileState.txt").write_text("C:\\x\\photos\\a.jpg\t1\nC:\\x\\photos\\b c.jpg\t0\n")
    result, labels = run(folder, tmp_path / "out")
    assert labels == {
        "a.jpg": [(QUAD, "Straße"), (SEVEN, "###")],
        "b c.jpg": [(QUAD, "###"), (QUAD, "###"), (SEVEN, "y")],
    }
    assert result.notes[0] == "paddleocr: 1 label file" and not result.faults
    assert "that fileState.txt does not confirm, used anyway: 1" in result.warnings[0]
    assert not any("not label files" in note for note in result.notes)


def test_broken_lines_are_named_and_the_others_taken(tmp_path):
    for name in "abc":
        photo(tmp_path / f"{name}.png", seed=ord(name))
    lines = [
        b'a.png\t[{"transcription": "a", "points": [[1,1],[9,1],[9,9]]}]',
        b"b.png\t[{", b"b.png [no tab]", b"gone.png\t[]", b'c.png\t[{"transcription": "x"}]',
        b"c.png\t[]", b'a.png\t[{"points": [[1,1],[9,1],[9,9]]}]',
    ]  # fmt: skip
    (tmp_path / "train.txt").write_bytes(b"\n".join(lines))
    result, labels = run(tmp_path / "train.txt", tmp_path / "out")
    assert labels == {"a.png": [([[1, 1], [9, 1], [9, 9]], "a")], "c.png": []} and result.faults
    said = "\n".join(result.warnings)
    for place, reason in ((2, "are not JSON"), (3, "has no tab"), (4, "gone.png was not found"),
                          (5, "lacks points"), ("7", "labelled in")):  # fmt: skip
        assert f"train.txt line {place}: " in said and reason in said


def test_what_predict_writes_is_taken(tmp_path):
    photo(tmp_path / "a.png")
    boxes = [{"transcription": "", "points": QUAD, "score": 0.9}]
    (tmp_path / "predicts.txt").write_text(f"a.png\t{json.dumps(boxes)}\n")
    assert run(tmp_path, tmp_path / "out")[1] == {"a.png": [(QUAD, "")]}


# --- a text file per picture --------------------------------------------------------------------


def test_icdar2015(tmp_path):
    for number in (1, 2, 3):
        photo(tmp_path / "in" / "images" / f"img_{number}.jpg", seed=number)
    gt = tmp_path / "in" / "gt"
    gt.mkdir()
    (gt / "gt_img_1.txt").write_bytes(f"\ufeff{flat(QUAD)},Genaxis, Theatre\r\n".encode())
    (gt / "gt_img_2.txt").write_text(f"{flat(QUAD)},###\n{flat(QUAD)},b\n")
    (gt / "gt_img_3.txt").write_text("")
    (tmp_path / "in" / "readme.txt").write_text("Challenge 4\n")
    result, labels = run(tmp_path / "in", tmp_path / "out")
    assert labels == {
        "img_1.jpg": [(QUAD, "Genaxis, Theatre")],
        "img_2.jpg": [(QUAD, "###"), (QUAD, "b")],
        "img_3.jpg": [],
    }
    assert result.notes[0] == "icdar: 3 label files" and not result.faults
    assert any("readme.txt" in note for note in result.notes)


def test_icdar2013(tmp_path):
    photo(tmp_path / "100.jpg")
    (tmp_path / "gt_100.txt").write_text('10 20 40 35 "Tiredness"\n10, 40, 50, 60, "a, b"\n')
    _, labels = run(tmp_path, tmp_path / "out")
    assert labels["100.jpg"] == [
        ([[10, 20], [40, 20], [40, 35], [10, 35]], '"Tiredness"'),
        ([[10, 40], [50, 40], [50, 60], [10, 60]], '"a, b"'),
    ]


def test_lines_that_do_not_fit_are_named(tmp_path):
    photo(tmp_path / "a.jpg")
    photo(tmp_path / "b.jpg", seed=1)
    (tmp_path / "gt_a.txt").write_text(f"{flat(QUAD)},x\n" * 3 + "1,2,3,x\n")
    (tmp_path / "gt_b.txt").write_text("no numbers\n")
    (tmp_path / "gt_c.txt").write_text(f"{flat(QUAD)},x\n")
    result, labels = run(tmp_path, tmp_path / "out")
    assert [len(words) for words in labels.values()] == [3, 0] and result.faults
    said = " ".join(result.warnings)
    assert "gt_c.txt: its image c was not found" in said
    assert "3 leading numbers; 4 points need 8: 1 (first: " in said and "gt_a.txt line 4" in said


def test_the_right_one_of_pictures_of_one_name(tmp_path):
    for split, seed in (("train", 0), ("test", 1)):
        photo(tmp_path / split / "img_1.jpg", seed=seed)
        (tmp_path / split / "gt_img_1.txt").write_text(f"{flat(QUAD)},{split}\n")
    _, labels = run(tmp_path, tmp_path / "out")
    assert labels == {"img_1.jpg": [(QUAD, "test")], "img_1-2.jpg": [(QUAD, "train")]}
    (tmp_path / "gt").mkdir()
    (tmp_path / "gt" / "gt_img_1.txt").write_text(f"{flat(QUAD)},x\n")
    with pytest.raises(UserError, match="could be .* or .*; prepare each folder separately"):
        run(tmp_path / "gt", tmp_path / "out2", images=(str(tmp_path),))


def test_total_text(tmp_path):
    photo(tmp_path / "Images" / "img11.jpg")
    x, y = zip(*SEVEN, strict=True)
    numbers = [" ".join(map(str, axis)) for axis in (x, y)]
    folded = numbers[0].replace("60 ", "60\n ", 1)  # as NumPy prints long lists
    text = (
        f"x: [[{numbers[0]}]], y: [[{numbers[1]}]], ornt: [u'c'], transcriptions: [u'PAUL']\n"
        f"x: [[{folded}]], y: [[{numbers[1]}]], ornt: [u'h'], transcriptions: [u\"EL'S\"]\n"
        f"x: [[{numbers[0]}]], y: [[{numbers[1]}]], ornt: [u'#'], transcriptions: [u'#']\n"
        f"x: [[1 2]], y: [[1 2 3]], ornt: [u'h'], transcriptions: [u'x']\n"
    )
    (tmp_path / "gt").mkdir()
    (tmp_path / "gt" / "poly_gt_img11.txt").write_text(text)
    result, labels = run(tmp_path, tmp_path / "out")
    assert labels["img11.jpg"] == [(SEVEN, "PAUL"), (SEVEN, "EL'S"), (SEVEN, "###")]
    assert result.notes[0] == "totaltext: 1 label file"
    assert "2 numbers in x and 3 in y: 1 (first: " in result.warnings[0]
    assert "line 5" in result.warnings[0] and result.faults


def curve(number=14):
    return [[5 + 6 * i, 20 + (i % 3)] for i in range(7)] + [[41 - 6 * i, 40] for i in range(7)]


def test_ctw1500_in_training_and_test_form(tmp_path):
    photo(tmp_path / "train" / "text_image" / "0001.jpg")
    photo(tmp_path / "test" / "1001.jpg", seed=1)
    segs = flat(curve())
    (tmp_path / "train" / "0001.xml").write_text(
        f'<Annotations>\n<image file="0001.jpg">\n<box height="2" left="5" top="20" width="36">'
        f"\n<label>a &amp; b</label>\n<segs>{segs}</segs>\n<pts>1,2</pts>\n</box>\n"
        f'<box height="2"><label>###</label><segs>{segs}</segs></box>\n'
        f'<box height="2"><label>x</label><segs>1,2,3</segs></box></image></Annotations>'
    )
    result, labels = run(tmp_path / "train", tmp_path / "a")
    assert labels["0001.jpg"] == [(curve(), "a & b"), (curve(), "###")] and result.faults
    assert result.notes[0] == "ctw1500: 1 label file"
    (tmp_path / "test" / "0001001.txt").write_text(f"{segs},####word\n{segs},####\n")
    _, labels = run(tmp_path / "test", tmp_path / "b")
    assert labels["1001.jpg"] == [(curve(), "word"), (curve(), "###")]


def test_xml_that_unfolds_is_refused(tmp_path):
    photo(tmp_path / "a.jpg")
    (tmp_path / "a.xml").write_text(
        '<!DOCTYPE x [<!ENTITY a "b">]><Annotations><image file="a.jpg"><box><segs>&a;</segs>'
        "</box></image></Annotations>"
    )
    with pytest.raises(UserError, match="no labels in any known format"):
        run(tmp_path, tmp_path / "out")
    (tmp_path / "a.xml").write_text("<Annotations><image><box><segs>1,2")
    with pytest.raises(UserError, match="no usable image: .*a.xml: not valid XML"):
        run(tmp_path, tmp_path / "out")


# --- MATLAB files, XML with bare signs, ICDAR 2019 ------------------------------------------------


def test_tables_that_are_none(tmp_path):
    for name in "abc":
        photo(tmp_path / f"{name}.png", seed=ord(name))
    scipy.io.savemat(tmp_path / "poly_gt_a.mat", {"other": np.zeros((2, 6))})
    rows = np.empty((2, 6), object)
    x, y = (np.array([axis]) for axis in zip(*QUAD, strict=True))
    rows[0] = ["x:", x, "y:", y, np.array(["word"]), np.array(["h"])]
    rows[1] = ["x:", x, "y:", y[:, :3], np.array(["cut"]), np.array(["h"])]
    scipy.io.savemat(tmp_path / "poly_gt_b.mat", {"polygt": rows})
    whole = (tmp_path / "poly_gt_b.mat").read_bytes()
    (tmp_path / "poly_gt_c.mat").write_bytes(whole[: len(whole) // 2])
    result, labels = run(tmp_path, tmp_path / "out")
    assert labels == {"b.png": [(QUAD, "word")]} and result.faults
    said = "\n".join(result.warnings)
    assert "has no table polygt or gt" in said and "not a complete MATLAB file" in said
    assert "4 numbers in x and 3 in y" in said


def test_ctw1500_with_a_bare_ampersand(tmp_path):
    photo(tmp_path / "1001.jpg")
    text = f"<box><label>A & B &amp; C</label><segs>{flat(SEVEN)}</segs></box>"
    value = f'<Annotations><image file="1001.jpg">{text}</image></Annotations>'
    (tmp_path / "1001.xml").write_text(value)
    assert run(tmp_path, tmp_path / "out")[1] == {"1001.jpg": [(SEVEN, "A & B & C")]}


def test_lsvt_and_rects(tmp_path):
    photo(tmp_path / "lsvt" / "images" / "gt_0.jpg")
    photo(tmp_path / "lsvt" / "images" / "gt_1.jpg", seed=1)
    words = [{"transcription": "a", "points": QUAD, "illegibility": False},
             {"transcription": "###", "points": SEVEN, "illegibility": True}]  # fmt: skip
    value = {"gt_0": words, "gt_1": []}
    (tmp_path / "lsvt" / "train_full_labels.json").write_text(json.dumps(value))
    result, labels = run(tmp_path / "lsvt", tmp_path / "one")
    assert labels == {"gt_0.jpg": [(QUAD, "a"), (SEVEN, "###")], "gt_1.jpg": []}
    photo(tmp_path / "rects" / "img" / "train_ReCTS_000001.jpg", seed=2)
    line = {"ignore": 0, "transcription": "b", "points": [v for p in QUAD for v in p]}
    value = {"chars": [{**line, "transcription": "x"}], "lines": [line, {**line, "ignore": 1}]}
    (tmp_path / "rects" / "gt").mkdir()
    (tmp_path / "rects" / "gt" / "train_ReCTS_000001.json").write_text(json.dumps(value))
    result, labels = run(tmp_path / "rects", tmp_path / "two")
    assert labels == {"train_ReCTS_000001.jpg": [(QUAD, "b"), (QUAD, "###")]}
    assert result.notes[0] == "icdar2019: 1 label file"
