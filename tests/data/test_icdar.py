"""The format of a folder of gt_*.txt follows from all its lines; lines that differ are refused."""

import numpy as np
import pytest

from ppocr_jax.data import icdar
from ppocr_jax.data.labels import read_labels, scan_labels
from ppocr_jax.errors import UserError

QUAD = "28,15,172,15,172,66,28,66"
OTHER = "28,85,184,85,184,136,28,136"
PLAIN = [f"{QUAD},HELLO", f"{OTHER},WORLD"]


def curve(points, x=0):
    """The numbers of a curved outline: along its upper edge and back along the lower one."""
    half = points // 2
    along = np.linspace(0, np.pi, half)
    upper = np.stack([x + 100 - 60 * np.cos(along), 100 - 40 * np.sin(along)], 1)
    lower = np.stack([x + 100 - 40 * np.cos(along), 100 - 20 * np.sin(along)], 1)[::-1]
    return ",".join(str(int(v)) for v in np.concatenate([upper, lower]).reshape(-1))


def offsets(x=0):
    """CTW1500's 32 numbers of a curve with 14 points."""
    points = np.array(curve(14, x).split(","), int).reshape(-1, 2)
    low, high = points.min(0), points.max(0)
    return ",".join(map(str, [*low, *high, *(points - low).reshape(-1)]))


def scan(tmp_path, *lines):
    """The `Reading` of a folder with one file and its image."""
    folder = tmp_path / "gt"
    folder.mkdir(exist_ok=True)
    (tmp_path / "a.jpg").write_bytes(b"x")
    (folder / "gt_a.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return scan_labels("gt", tmp_path)


def accepted(tmp_path, *lines):
    """`(numbers of points, ignore, note)` of lines that are all accepted."""
    samples, problems, notes = scan(tmp_path, *lines)
    assert [str(problem) for problem in problems] == []
    (sample,) = samples
    assert f"on {len(lines)} of {len(lines)} lines" in notes[0]
    form = notes[0].removeprefix("gt: gt_*.txt with ").partition(" on ")[0]
    return [len(polygon) for polygon in sample.polygons], list(sample.ignore), form


def refused(tmp_path, *lines):
    """`(lines, first reason)` of the refused lines; `read_labels` reports the same."""
    _, problems, _ = scan(tmp_path, *lines)
    with pytest.raises(UserError, match=f"gt_a.txt line {problems[0].line}: "):
        read_labels("gt", tmp_path)
    return [problem.line for problem in problems], problems[0].reason


def test_eight_numbers_are_a_quad_without_text(tmp_path):
    assert accepted(tmp_path, QUAD, OTHER) == ([4, 4], [False, False], "4 points")
    (sample,), _, _ = scan(tmp_path, QUAD)
    np.testing.assert_array_equal(sample.polygons[0][3], [28, 66])


@pytest.mark.parametrize("text", ["36,000,000", "1,2,3,4", "1998", "36,000", "1,2,3,4,5", ""])
def test_texts_of_numbers_are_no_points(tmp_path, text):
    assert accepted(tmp_path, *PLAIN, f"{OTHER},{text}")[0] == [4, 4, 4]


def test_a_quad_that_crosses_itself_is_one(tmp_path):
    assert accepted(tmp_path, "0,0,90,60,90,0,0,60") == ([4], [False], "4 points")


def test_texts_of_numbers_alone_in_their_folder(tmp_path):
    lines = f"{QUAD},36,000,000", f"{OTHER},1,2,3,4"
    assert accepted(tmp_path, *lines) == ([4, 4], [False, False], "4 points, text")
    lines, reason = refused(tmp_path, f"{OTHER},1,2,3,4")  # or six points without a text
    assert lines == [1] and "6 points, or 4 and a text" in reason and "quotes" in reason
    assert accepted(tmp_path, f'{OTHER},"1,2,3,4"')[0] == [4]


def test_two_numbers_as_every_text_are_no_fifth_point(tmp_path):
    """Most of these happen to be outlines of five points; none is silently read as one."""
    lines = [f"22,6,64,6,64,24,22,24,{x},7" for x in (25, 30, 41, 45, 51, 58, 62, 90, 3)]
    refuses, reason = refused(tmp_path, *lines)
    assert 0 < len(refuses) < len(lines) and "5 points, or 4 and a text" in reason
    fifth = ["22,6,64,6,70,15,64,24,22,24"] * 20  # all of many are
    assert accepted(tmp_path, *fifth)[2] == "5 points"
    assert refused(tmp_path, *fifth[1:])[0] == list(range(1, 20))


def test_a_language_is_no_text(tmp_path):
    lines = f"{QUAD},Latin,HELLO", f"{OTHER},Latin,###", f"{OTHER},None,Hello, world"
    form = "4 points, language, text"
    assert accepted(tmp_path, *lines) == ([4] * 3, [False, True, False], form)
    assert accepted(tmp_path, f"{QUAD},Latin,###") == ([4], [True], form)
    assert refused(tmp_path, *lines, f"{QUAD},HELLO")[0] == [4]
    many = [f"{QUAD},{'qya' if n % 2 else 'sjn'},word{n}" for n in range(40)]
    assert accepted(tmp_path, *many)[2] == form  # no names that are known, but few of them
    one = [*PLAIN, *PLAIN, f"{QUAD},Chinese, Japanese"]
    assert accepted(tmp_path, *one)[2] == "4 points, text"


@pytest.mark.parametrize(
    "text", ['"###"', " ### ", "＃＃＃", "####", "##########", "*", " * ", "＊", "“###”", '"*"']
)
def test_every_form_of_the_mark_is_ignored(tmp_path, text):
    assert accepted(tmp_path, *PLAIN, f"{QUAD}, {text}")[1] == [False, False, True]


@pytest.mark.parametrize("text", ["##", "# 1", "HELLO", "2 * 3", "", '""', "no. #1"])
def test_other_texts_are_learned(tmp_path, text):
    assert accepted(tmp_path, *PLAIN, f"{QUAD},{text}")[1] == [False] * 3


def test_numbers_of_rctw_say_what_is_difficult(tmp_path):
    lines = f'{QUAD},0,"A"', f'{OTHER},1,"B, C"'
    assert accepted(tmp_path, *lines) == ([4, 4], [False, True], "4 points, difficult, text")


def test_boxes_of_icdar_2013(tmp_path):
    for lines in (['28 15 172 66 "HELLO"'], ['28, 15, 172, 66, "HELLO"', '1, 2, 30, 40, "###"']):
        points, ignore, form = accepted(tmp_path, *lines)
        assert points == [4] * len(lines) and form == "2 corners, text"
        assert ignore == [False, True][: len(lines)]
    (sample,), _, _ = scan(tmp_path, '28 15 172 66 "HELLO"')
    np.testing.assert_array_equal(sample.polygons[0], [[28, 15], [172, 15], [172, 66], [28, 66]])
    lines, reason = refused(tmp_path, "28,15,172,66,HELLO")  # or a width and a height
    assert lines == [1] and icdar.KNOWN in reason


def test_the_forms_of_ctw1500(tmp_path):
    points, _, form = accepted(tmp_path, offsets(), offsets(300))
    assert points == [14, 14] and form == "box and 14 offsets"
    (sample,), _, _ = scan(tmp_path, offsets(300))
    expected = np.array(curve(14, 300).split(","), float).reshape(-1, 2)
    np.testing.assert_array_equal(sample.polygons[0], expected)
    assert accepted(tmp_path, f"{curve(14)},TEXT") == ([14], [False], "14 points, text")
    assert accepted(tmp_path, curve(14), curve(14, 50))[2] == "14 points"
    marked = f"{curve(14)},####TEXT", f"{curve(10)},#######", f"{QUAD},####1, 2"
    form = "points, ####, text"
    assert accepted(tmp_path, *marked) == ([14, 10, 4], [False, True, False], form)
    assert refused(tmp_path, *marked, f"{QUAD},TEXT")[0] == [4]
    assert refused(tmp_path, offsets(), offsets(300), QUAD)[0] == [3]


def test_other_numbers_of_points_need_proof(tmp_path):
    bent = [f"{curve(n, 50 * n)},word" for n in (6, 10, 12, 14)]
    points, _, form = accepted(tmp_path, *bent, f"{QUAD},HELLO", f"{QUAD},1998")
    assert points == [6, 10, 12, 14, 4, 4] and form == "different numbers of points, text"
    assert refused(tmp_path, *bent, f"{OTHER},36,000,000")[0] == [5]
    assert accepted(tmp_path, *(f"{curve(6, x)},word" for x in (0, 9, 90)))[2] == "6 points, text"
    lines, reason = refused(tmp_path, *PLAIN, bent[0])  # six points, or a text `x5,y5,x6,y6,word`
    assert lines == [3] and "6 points, or 4" in reason
    assert refused(tmp_path, *PLAIN * 50, bent[0])[0] == [101]
    assert refused(tmp_path, *PLAIN * 50, f"{curve(14)},1998")[0] == [101]
    assert refused(tmp_path, *PLAIN * 90, *[bent[0]] * 3)[0] == [181, 182, 183]
    lines, reason = refused(tmp_path, f"{curve(14)},1998")
    assert lines == [1] and "14 points, or 4" in reason


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("28,15,172,15,172,66,28", "7 leading numbers; 4 points need 8"),
        ("HELLO", "0 leading numbers"),
        (QUAD, "8 numbers and no text"),
        (f"{QUAD[:-2]}1e999,HELLO", "beyond 1000000 pixels"),
        (f"{QUAD[:-2]}{'9' * 400},HELLO", "beyond 1000000 pixels"),
        ("28,15,1_72,15,172,66,28,66,HELLO", "2 leading numbers"),
    ],
)
def test_a_line_that_fits_no_form_is_named(tmp_path, bad, reason):
    lines, said = refused(tmp_path, *PLAIN, bad)
    assert lines == [3] and reason in said


@pytest.mark.parametrize(
    "line",
    [
        "x: [[206 251 386]], y: [[633 811 931]], ornt: [u'c'], transcriptions: [u'PETROSAINS']",
        "28 15 172 15 172 66 28 66 HELLO",
        "0,0,1,1,text",
        '{"points": []}',
        " " * 10_000 + "9" * 10_000 + "x",
    ],
)
def test_a_folder_of_another_form_is_one_line(tmp_path, line):
    samples, problems, _ = scan(tmp_path, line, line)
    (problem,) = problems
    assert samples == [] and problem.line == 1 and icdar.KNOWN in problem.reason


def test_what_a_folder_holds_besides_is_said(tmp_path):
    scan(tmp_path, *PLAIN)
    (tmp_path / "gt" / "img_2.txt").write_text(QUAD)
    _, _, notes = scan_labels("gt", tmp_path)
    assert notes[0] == "gt: gt_*.txt with 4 points, text on 2 of 2 lines"
    assert notes[1].startswith("gt: 1 other .txt files are not read")


def test_line_breaks_are_those_of_files_alone(tmp_path):
    samples, problems, _ = scan(tmp_path, f"{QUAD},A\u2028B\x85C\x1dD", f"{OTHER},E\r")
    assert len(samples[0].polygons) == 2 and not problems
    (tmp_path / "gt" / "gt_a.txt").write_bytes(f"{QUAD},A\n".encode("utf-16"))
    with pytest.raises(UserError, match="UTF-16"):
        scan_labels("gt", tmp_path)


def test_folders_that_were_read_wrongly(shared):
    """Quads without a text, texts of numbers, a language, a quoted ignore mark."""
    cases = {
        "01-gt-without-text": ([4, 4], [False, False]),
        "02-gt-text-with-commas": ([4, 4], [False, False]),
        "03-mlt-language-column": ([4, 4], [False, True]),
        "04-quoted-dont-care": ([4, 4], [True, False]),
    }
    for name, expected in cases.items():
        (sample,) = read_labels("train_gt", shared(f"cases/reports/{name}"))
        assert ([len(p) for p in sample.polygons], list(sample.ignore)) == expected, name
