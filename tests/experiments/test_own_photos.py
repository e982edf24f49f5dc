"""Labelme's files for the journey's photos: prepare-data finds the same words in them."""

import json

import pytest
from annotations.making import photo, run

from experiments.own_photos.__main__ import LABELS, main
from ppocr_jax.errors import UserError

QUAD = [[10, 10], [60, 12], [59, 30], [9, 29]]


def test_the_photos_are_prepared_with_their_words(tmp_path):
    icdar, lines = tmp_path / "icdar", []
    for index in range(104):  # the first hundred lines are not taken
        words = json.dumps([{"transcription": f"w{index}", "points": QUAD}])
        lines.append(f"train/p{index}.jpg\t{words}\n")
    for index in range(100, 104):
        photo(icdar / "train" / f"p{index}.jpg", seed=index)
    (icdar / LABELS).write_text("".join(lines), encoding="utf-8-sig")
    output = tmp_path / "labelme_folder"
    assert main(["--icdar", str(icdar), "--output", str(output)]) == 0
    _, labels = run(output, tmp_path / "data")
    with pytest.raises(UserError, match="exists already"):
        main(["--icdar", str(icdar), "--output", str(output)])
    assert sorted(labels) == [f"p{index}.jpg" for index in range(100, 104)]
    for name, ((polygon, text),) in labels.items():
        assert polygon == QUAD and text == f"w{name[1:-4]}"


def test_a_broken_label_line_is_one_line(tmp_path):
    (tmp_path / LABELS).write_text("p.jpg no tab\n" * 101)
    with pytest.raises(UserError, match=f"{LABELS}: 'p.jpg no tab': expected an image, a tab"):
        main(["--icdar", str(tmp_path), "--output", str(tmp_path / "out")])
