"""The command, and training from what it makes of every format."""

import itertools
import json
import os
import signal

import numpy as np
import pytest
from annotations.making import labels_of, rows_of
from annotations.sources import COUNT, FORMATS, WORDS, draw
from tiny import load_config, write_config

from ppocr_jax import cli, prepare_data
from ppocr_jax.annotations import ACCEPTED, preparation
from ppocr_jax.data import compact, inspection
from ppocr_jax.data.training_split import Training
from ppocr_jax.training.loop import train


def prepare(folder, write, *options):
    """`(status, folder that was made)` for the pictures labelled in one format."""
    source = folder / "photos"
    write(source, draw(source))
    return prepare_data.main([str(source), "--output", str(folder / "data"), *options]), (
        folder / "data"
    )


def test_every_format_is_among_these():
    assert {write.__name__ for write in FORMATS} - {"coco_masks"} == set(ACCEPTED)


@pytest.mark.parametrize("write", FORMATS, ids=lambda write: write.__name__)
def test_the_same_words_come_out_and_training_reads_them(write, tmp_path, capsys):
    status, data = prepare(tmp_path, write, "--val", "2")
    out, err = capsys.readouterr()
    assert status == 0 and err == "" and f"{COUNT} images added, 0 skipped" in out
    for words in labels_of(data).values():
        assert [text if text == "###" else "" for _, text in words] == ["", "###", ""]
        assert write.__name__ == "coco_masks" or [text for _, text in words] == [
            text for _, text in WORDS
        ]
        for (points, _), (wanted, _) in zip(words, WORDS, strict=True):
            if write.__name__ == "coco_masks":  # whose outlines run around the pixels
                low, high = np.min(wanted, 0), np.max(wanted, 0) + 1
                assert (np.min(points, 0) == low).all() and (np.max(points, 0) == high).all()
            else:
                np.testing.assert_allclose(points, wanted, rtol=1e-12)
    config = load_config(write_config(tmp_path, data))
    training = Training(config)
    [batch] = itertools.islice(training.batches(0, (0, 1)), 1)
    assert len(training.samples) == COUNT - 2
    assert batch["image"].shape == (4, 64, 64, 3) and compact.unpack(batch)["shrink_map"].max() == 1
    assert inspection.check(config)[0] == []


@pytest.mark.long
@pytest.mark.parametrize("write", FORMATS, ids=lambda write: write.__name__)
def test_training_from_every_format(write, tmp_path):
    _, data = prepare(tmp_path, write)
    config = load_config(write_config(tmp_path, data), "steps=3", "eval.every_steps=3")
    train(config, tmp_path / "run")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert max(json.loads(line).get("step", 0) for line in lines) == 3


def test_what_is_broken_gives_lines_and_status_1(tmp_path, capsys):
    source = tmp_path / "photos"
    names = draw(source)
    FORMATS[0](source, names)
    for index in range(8):
        (source / f"b{index}.json").write_text("{")
    status = prepare_data.main([str(source), "--output", str(tmp_path / "data")])
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert status == 1 and len(lines) == 6 and all(x.startswith("warning: ") for x in lines)
    assert "b0.json: not readable as JSON" in lines[0] and "and 3 more are skipped" in lines[-1]
    assert len([row for row in rows_of(tmp_path / "data") if "JSON" in row["reason"]]) == 8
    assert "6 images added, 8 skipped" in out


def test_what_comes_next_is_said(tmp_path, capsys):
    prepare(tmp_path, FORMATS[0])
    assert capsys.readouterr().out.splitlines()[-1].startswith("next: ppocr-jax show-data --config")
    argv = [str(tmp_path / "photos"), "--output", str(tmp_path / "whole"), "--val", "0"]
    assert prepare_data.main(argv) == 0
    *_, line = capsys.readouterr().out.splitlines()
    assert line.startswith("there is no validation set, which training needs")


def test_mistakes_are_one_line(tmp_path, capsys):
    for argv in (
        [str(tmp_path / "gone"), "--output", str(tmp_path / "data")],
        [str(tmp_path)],
        [str(tmp_path), "--output", str(tmp_path / "data"), "--format", "yolo"],
        [str(tmp_path), "--output", str(tmp_path / "data"), "--val", "many"],
    ):
        with pytest.raises(SystemExit) as caught:
            cli.run(prepare_data.main, argv)
        assert caught.value.code == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_ended_leaves_nothing_and_a_killed_one_s_rests_go(
    tmp_path, monkeypatch, capsys
):
    place, rest = preparation.place_all, tmp_path / "data.tmp"
    before = signal.getsignal(signal.SIGTERM)

    def ended(*args):
        place(*args)
        assert rest.is_dir()
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(preparation, "place_all", ended)
    with pytest.raises(SystemExit) as left:
        prepare(tmp_path, FORMATS[0])
    assert left.value.code == 143 and not rest.exists() and not (tmp_path / "data").exists()
    assert signal.getsignal(signal.SIGTERM) == before
    monkeypatch.undo()
    (rest / "images").mkdir(parents=True)  # as `kill -9` leaves it
    status = prepare_data.main([str(tmp_path / "photos"), "--output", str(tmp_path / "data")])
    out = capsys.readouterr().out
    assert status == 0 and f"removed {rest}, left behind by an earlier run" in out
    assert not rest.exists()
