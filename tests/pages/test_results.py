"""Warnings about results, and result files that are complete or absent."""

import json

import numpy as np
import pytest

from ppocr_jax.pages.results import Result, ResultFiles, Tally, small_text


def test_small_text_is_measured_at_the_networks_size():
    def bar(height):
        return np.array([[10, 10], [210, 10], [210, 10 + height], [10, 10 + height]])

    bars = [bar(height) for height in (10, *[20] * 9)]
    assert small_text(bars, (400, 800), (200, 400)) == pytest.approx(9.5)  # 5 and nine of 10
    assert small_text([], (400, 800), (200, 400)) is None
    tally = Tally()
    tally.add(Result("a.png", (400, 800), (300, 600), text_px=9.5))
    tally.add(Result("d.png", reason="gone"))
    assert list(tally.warnings()) == []
    tally.add(Result("b.png", (400, 800), (300, 600), text_px=6.2))
    tally.add(Result("c.png", (4000, 3000), (960, 736)))
    tally.add(Result("e.png", (100, 100), (96, 96), text_px=20.0, passed_over=7))
    tally.add(Result("f.png", (400, 800), (256, 512), text_px=None))
    small, shrunk, cut = tally.warnings()
    assert "in 1 of 6 images" in small and "b.png, 6.2 pixels" in small and "--tile" in small
    assert "2 of 6 images are reduced" in shrunk and "--limit_side" in shrunk
    assert "c.png, 3000x4000 reduced to 736x960, which leaves text below 33 pixels" in shrunk
    assert "e.png, 7 too many" in cut and tally.unreadable == 1


def test_what_was_seen_smaller_or_in_part_is_said():
    tally = Tally()
    tally.add(Result("a.png", (12, 1600), (192, 25792), text_px=20.0, wanted_size=(736, 98144)))
    tally.add(Result("b.tif", (90, 90), (96, 96), text_px=20.0, wanted_size=(96, 96), frames=3))
    reduced, pages = tally.warnings()
    assert "1 of 2 images" in reduced and "a.png, 25792x192 instead of 98144x736" in reduced
    assert "only the first was read (most: b.tif, 3)" in pages


def test_results_get_their_names_when_they_are_whole(tmp_path):
    square = np.array([[0, 0], [9, 0], [9, 9], [0, 9]], np.int32)
    one = Result("ü.png", (9, 9), (32, 32), [square], np.array([0.5], np.float32), 31.5)
    with ResultFiles(tmp_path) as files:
        files.write(one)
    whole = (tmp_path / "predicts.txt").read_text(encoding="utf-8")
    assert whole == (
        'ü.png\t[{"transcription": "", "points": [[0, 0], [9, 0], [9, 9], [0, 9]], "score": 0.5}]\n'
    )
    with pytest.raises(OSError), ResultFiles(tmp_path) as files:
        files.write(one)
        files.write(one)
        assert (tmp_path / "predicts.txt.part").read_text() == 2 * whole  # flushed
        raise OSError("full")
    assert (tmp_path / "predicts.txt").read_text(encoding="utf-8") == whole  # of the run before
    assert (tmp_path / "predicts.txt.part").read_text(encoding="utf-8") == 2 * whole
    assert len((tmp_path / "predictions.jsonl.part").read_text().splitlines()) == 2


def test_what_was_found_is_written_as_ppocrlabel_keeps_it():
    square = np.array([[0, 0], [9, 0], [9, 9], [0, 9]], np.int32)
    one = Result("/a/b/ü.png", (9, 9), (32, 32), [square], np.array([0.5], np.float32))
    assert one.label_line() == (
        "b/ü.png\t"
        '[{"transcription": "", "points": [[0, 0], [9, 0], [9, 9], [0, 9]], "difficult": false}]'
    )
    cut = one._replace(crops=["crops/ü_0.png"])
    assert json.loads(cut.json_line())["boxes"][0]["crop"] == "crops/ü_0.png"
    assert cut.paddle_line() == one.paddle_line() and cut.label_line() == one.label_line()
