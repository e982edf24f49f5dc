"""Label files: what is read, and the one line that a bad one gets."""

import json

import numpy as np
import pytest

from ppocr_jax.data.labels import read_labels, read_sources, scan_labels
from ppocr_jax.errors import UserError

QUAD = [[0, 0], [10, 0], [10, 5], [0, 5]]


def line(name="a.jpg", *labels):
    entries = [{"transcription": text, "points": points} for text, points in labels]
    return f"{name}\t{json.dumps(entries)}\n"


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
        ("a.jpg\t[", "no JSON"),
        ("a.jpg\t{}", "no JSON list"),
        ('a.jpg\t[{"points": [[0, 0]]}]', "lacks points or transcription"),
        ("a.jpg\t[7]", "lacks points or transcription"),
        (line("a.jpg", ("x", QUAD[:2])).strip(), "2 points; at least 3"),
        (line("a.jpg", ("x", [["a", 1]] * 4)).strip(), "not pairs of numbers"),
        (line("a.jpg", ("x", [[1, 2], [3]])).strip(), "not pairs of numbers"),
        ('a.jpg\t[{"transcription": "", "points": [[0,0],[1,0],[NaN,1]]}]', "not finite"),
        (b"a.jpg\t\xff\xfe[]", "not UTF-8"),
    ],
)
def test_a_bad_line_is_named(tmp_path, bad, reason):
    bad = bad if isinstance(bad, bytes) else bad.encode()
    path = write(tmp_path, line().encode() + bad + b"\n" + bad + b"\n")
    with pytest.raises(UserError, match=f"labels.txt line 2: .*{reason}.*1 more such"):
        read_labels("labels.txt", tmp_path)
    samples, problems = scan_labels("labels.txt", tmp_path)
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
        b"0,0,10,0,10,5,text\r\n"
        b"0,0,4,0,8,0,8,5,4,5,0,5,six points\r\n"
    )
    (gt / "gt_img_2.txt").write_text("")
    first, second = read_labels("gt", tmp_path)
    assert first.image_path == str(tmp_path / "img_1.jpg") and first.line == 0
    assert [len(polygon) for polygon in first.polygons] == [4, 4, 4, 3, 6]
    assert list(first.ignore) == [False, False, True, False, False]
    assert second.polygons == () and second.image_path.endswith("img_2.PNG")


def test_icdar_folder_with_mistakes(tmp_path):
    (tmp_path / "gt_a.txt").write_text("0,0,1,1,text\n")
    samples, problems = scan_labels(".", tmp_path)
    assert samples == []
    assert "gt_a.txt line 1: 4 leading numbers" in str(problems[0])
    assert "no image of this name" in str(problems[1])
