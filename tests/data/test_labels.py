"""Label files: what is read, and the one-line message of a bad one."""

import json
import os

import numpy as np
import pytest

from ppocr_jax.data import label_lines
from ppocr_jax.data.images import Labels
from ppocr_jax.data.labels import read_labels, read_sources, scan_labels
from ppocr_jax.errors import UserError

QUAD = [[0, 0], [10, 0], [10, 5], [0, 5]]
ZIGZAG = [[i % 97, 37 * i % 97] for i in range(5_000)]  # crosses itself at every step


def line(name="a.jpg", *labels):
    entries = [{"transcription": text, "points": points} for text, points in labels]
    return f"{name}\t{json.dumps(entries)}\n"


def point(value):
    """A label with this JSON as its first coordinate."""
    return f'a.jpg\t[{{"transcription": "x", "points": [[{value}, 0], [9, 0], [9, 9]]}}]'


def write(tmp_path, text, name="labels.txt"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_samples_of_a_label_file(tmp_path):
    write(
        tmp_path,
        line("sub/a.jpg", ("word", QUAD), ("###", QUAD), ("*", QUAD[:3]), ("##", [*QUAD, [-1, 2]]))
        + "\n"
        + line("b.jpg"),
    )
    first, second = read_labels("labels.txt", tmp_path)
    assert first.image_path == str(tmp_path / "sub/a.jpg") and first.line == 1
    assert list(first.ignore) == [False, True, True, False]
    assert [polygon.shape for polygon in first.polygons] == [(4, 2), (4, 2), (3, 2), (5, 2)]
    assert first.polygons[0].dtype == np.float32
    np.testing.assert_array_equal(first.polygons[0], QUAD)
    assert second.polygons == () and second.line == 3  # a negative; the blank line is no sample


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("a.jpg []", "no tab"),
        ("a.jpg\t[", "not JSON"),
        ("a.jpg\t{}", "not a JSON list"),
        ('a.jpg\t[{"points": [[0, 0]]}]', "lacks points or transcription"),
        ("a.jpg\t[7]", "lacks points or transcription"),
        (line("a.jpg", ("x", QUAD[:2])).strip(), "2 points; at least 3"),
        (line("a.jpg", ("x", [["a", 1]] * 4)).strip(), "not pairs of numbers"),
        (line("a.jpg", ("x", [[1, 2], [3]])).strip(), "not pairs of numbers"),
        ('a.jpg\t[{"transcription": "", "points": [[0,0],[1,0],[NaN,1]]}]', "not finite"),
        (b"a.jpg\t\xff\xfe[]", "not UTF-8"),
        ("\t[]", "no image path"),
        ("a\0.jpg\t[]", "NUL"),
        ("a.jpg\t" + "[" * 100_000, "nested too deeply"),
        # Newer versions of Python read that deep.
        (point("[" * 9_000 + "1" + "]" * 9_000), "(nested too deeply|not pairs of numbers)"),
        (point("[" * 90 + "1" + "]" * 90), "not pairs of numbers"),
        (point(9 * 10**399), "beyond 1000000 pixels"),
        (point("9" * 5_000), "thousands of digits"),
        (point("-1e10"), "beyond 1000000 pixels"),
        (point("1e30"), "beyond 1000000 pixels"),
        (point("1e999"), "beyond 1000000 pixels"),
        (point("null"), "not finite"),
        (point("{}"), "not pairs of numbers"),
        ('a.jpg\t[{"transcription": "", "points": null}]', "0 points"),
        ('a.jpg\t[{"transcription": "", "points": {}}]', "not pairs of numbers"),
        ('a.jpg\t[{"transcription": [], "points": [[0,0],[1,0],[1,1]]}]', "is not text"),
        (line("a.jpg", ("x", ZIGZAG)).strip(), "5000 points; at most 1000"),
        (line("a.jpg", *[("x", QUAD[:3])] * 10_001).strip(), "10001 polygons; at most"),
        (line("a.jpg", *[("x", ZIGZAG[:900])] * 13).strip(), "11700 points are too many"),
    ],
)
def test_a_bad_line_is_named(tmp_path, bad, reason):
    bad = bad if isinstance(bad, bytes) else bad.encode()
    path = write(tmp_path, line().encode() + bad + b"\n" + bad + b"\n")
    with pytest.raises(UserError, match=f"labels.txt line 2: .*{reason}.*1 more such"):
        read_labels("labels.txt", tmp_path)
    samples, problems, _ = scan_labels("labels.txt", tmp_path)
    assert len(samples) == 1 and [p.line for p in problems] == [2, 3]
    assert str(problems[0]).startswith(f"{path} line 2: ")


def test_a_byte_order_mark_is_read_over_and_reported(tmp_path):
    write(tmp_path, b"\xef\xbb\xbf" + line("a.jpg", ("x", QUAD)).encode())
    assert read_labels("labels.txt", tmp_path)[0].image_path == str(tmp_path / "a.jpg")
    assert "byte order mark" in scan_labels("labels.txt", tmp_path)[1][0].reason


def test_missing_and_empty_files(tmp_path):
    with pytest.raises(UserError, match="nothing.txt is missing"):
        read_labels("nothing.txt", tmp_path)
    write(tmp_path, "  \n")
    with pytest.raises(UserError, match="is empty"):
        read_labels("labels.txt", tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"holds no gt_"):
        read_labels("folder", tmp_path)


def test_several_sources(tmp_path):
    write(tmp_path, line("a.jpg"), "one.txt")
    write(tmp_path, line("b.jpg") + line("c.jpg"), "two.txt")
    assert [len(part) for part in read_sources("one.txt, two.txt", tmp_path)] == [1, 2]
    assert [len(part) for part in read_sources(("two.txt",), tmp_path)] == [2]
    with pytest.raises(UserError, match="no label file is named"):
        read_sources(" , ", tmp_path)


def test_icdar_folder(tmp_path):
    gt = tmp_path / "gt"
    gt.mkdir()
    (tmp_path / "img_1.jpg").write_bytes(b"x")
    (gt / "img_2.PNG").write_bytes(b"x")
    (gt / "gt_img_1.txt").write_bytes(
        b"\xef\xbb\xbf0,0,10,0,10,5,0,5,Hello, world\r\n"
        b"0,0,10,0,10,5,0,5,1998\r\n"
        b"\r\n"
        b"0,0,10,0,10,5,0,5,###\r\n"
    )
    (gt / "gt_img_2.txt").write_text("")
    first, second = read_labels("gt", tmp_path)
    assert first.image_path == str(tmp_path / "img_1.jpg") and first.line == 0
    assert [len(polygon) for polygon in first.polygons] == [4, 4, 4]
    assert list(first.ignore) == [False, False, True]
    assert second.polygons == () and second.image_path.endswith("img_2.PNG")


def test_icdar_folder_with_mistakes(tmp_path):
    (tmp_path / "gt_a.txt").write_text("0,0,10,0,10,5,0,5,text\n0,0,10,0,10,5,text\n")
    samples, problems, _ = scan_labels(".", tmp_path)
    assert samples == []
    assert "gt_a.txt line 2: 6 leading numbers" in str(problems[0])
    assert "no image of this name" in str(problems[1])
    (tmp_path / "gt_b.txt").mkdir()
    with pytest.raises(UserError, match="gt_b.txt: not a file"):
        scan_labels(".", tmp_path)


def test_marks_that_are_written_otherwise_are_counted(tmp_path):
    texts = ["*", "###", '"###"', "＃＃＃", "####", "##", "***", "### A", "illegible", "word"]
    write(tmp_path, line("a.jpg", *((text, QUAD) for text in texts)))
    (sample,), _, notes = scan_labels("labels.txt", tmp_path)
    assert list(sample.ignore) == [True] * 5 + [False] * 5
    ignored, learned = notes
    assert ignored.startswith("labels.txt: 3 words are ignored") and '`"###"`' in ignored
    assert learned.startswith("labels.txt: 4 words are learned") and "`##`" in learned


def test_difficult_is_not_read_and_counted(tmp_path):
    write(tmp_path, line("a.jpg", ("x", QUAD), ("###", QUAD)).replace("}", ', "difficult": true}'))
    (sample,), _, (note,) = scan_labels("labels.txt", tmp_path)
    assert list(sample.ignore) == [False, True]
    assert "1 words are learned although they are `difficult`" in note


def picture(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return str(path)


def test_paths_of_other_systems(tmp_path):
    composed, apart = "caf\u00e9", "cafe\u0301"
    plain = picture(tmp_path, "img/plain.jpg")
    accent = picture(tmp_path, f"{apart}/{composed}.jpg")
    names = ["img\\plain.jpg", ".\\img\\plain.jpg", "./img/plain.jpg", " img/plain.jpg "]
    names += [f"{composed}/{apart}.jpg", f"{apart}\\{composed}.jpg", f"{composed}/gone.jpg"]
    write(tmp_path, "".join(line(name) for name in names))
    samples, problems, notes = scan_labels("labels.txt", tmp_path)
    gone = str(tmp_path / f"{composed}/gone.jpg")
    assert [s.image_path for s in samples] == [plain] * 4 + [accent] * 2 + [gone]
    assert not problems and [note.partition(" using")[0] for note in notes] == [
        "labels.txt: 3 of 7 images are found by", "labels.txt: 1 of 7 images are found by",
    ]  # fmt: skip
    said = []
    read_labels("labels.txt", tmp_path, said.append)
    assert said == notes and "/ for \\" in said[0] and "Unicode" in said[1]


def test_a_file_of_the_very_name_comes_first(tmp_path):
    names = ["a\\b.jpg", " blank .jpg", "e\u0301.jpg", "\u00e9.jpg"]
    expected = [picture(tmp_path, name) for name in [*names, "a/b.jpg", "blank .jpg"]][:4]
    write(tmp_path, "".join(line(name) for name in names))
    samples, _, notes = scan_labels("labels.txt", tmp_path)
    assert [sample.image_path for sample in samples] == expected and notes == []


def test_two_files_that_may_be_meant_are_not_guessed(tmp_path):
    for name in ("\u1ec7", "e\u0323\u0302"):  # one letter in two of its four forms
        picture(tmp_path, f"{name}.jpg")
    write(tmp_path, line("\u1eb9\u0302.jpg"))
    (sample,), _, notes = scan_labels("labels.txt", tmp_path)
    assert sample.image_path == str(tmp_path / "\u1eb9\u0302.jpg") and notes == []


def test_label_files_that_are_no_files_of_text(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe: not a file"):
        read_labels("pipe", tmp_path)
    write(tmp_path, line("a.jpg").encode("utf-16"))
    with pytest.raises(UserError, match="labels.txt: is UTF-16; save it as UTF-8"):
        read_labels("labels.txt", tmp_path)
    write(tmp_path, line("a.jpg") * 9)
    monkeypatch.setattr(label_lines, "MOST_BYTES", 20)
    with pytest.raises(UserError, match="split the label file"):
        read_labels("labels.txt", tmp_path)


def test_recorded_label_files(shared):
    """A coordinate, nesting or number of points beyond the limits: the message names the line."""
    folder = shared("cases/labels")
    files = [path for path in sorted(folder.iterdir()) if "fifo" not in path.name]
    assert files
    for path in files:
        with pytest.raises(UserError, match=f"{path.name} line 3: "):
            read_labels(path, shared("cases/data"))


def test_labels_of_other_systems_belong_to_their_image(tmp_path):
    path = write(tmp_path, line("img\\a.jpg") + line("cafe\u0301.jpg"))
    found = Labels(str(path))
    assert found.find("/data/img/a.jpg").line == 1 and found.find("/data/caf\u00e9.jpg").line == 2
