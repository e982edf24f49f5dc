"""The measurements of large data sets, on a small one."""

import argparse
import json
import mmap

import pytest
from tiny import draw_data

from experiments.large_sets import __main__ as experiment
from experiments.large_sets import parts, sets
from ppocr_jax.data.labels import read_labels
from ppocr_jax.errors import UserError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder of synthetic scenes with the file names of ICDAR 2015."""
    folder = tmp_path_factory.mktemp("large") / "data"
    draw_data(folder)
    (folder / "train.txt").rename(folder / sets.LABELS)
    (folder / "val.txt").rename(folder / sets.TEST)
    return folder


def test_measures_and_writes_a_table(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(parts, "CACHES", str(tmp_path / "none"))  # do not empty the system's cache
    output = tmp_path / "out.json"
    options = ["--data", str(data), "--images", "50", "--folder", str(tmp_path / "set")]
    experiment.main([*options, "--only", "index", "order", "check", "--output", str(output)])
    found = json.loads(output.read_text())["rows"]
    rows = {(row["part"], row["case"], row["what"]): row["value"] for row in found}
    assert rows["index", "50 images", "opened again"] > 0 and rows["check", "50 images", "findings"]
    assert "| order | 50 images | order of an epoch |" in capsys.readouterr().out
    assert len(read_labels("large.txt", tmp_path / "set")) == 50


def test_pictures_a_second(data, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "CACHES", str(tmp_path / "none"))
    monkeypatch.setattr(parts, "BATCHES", 1)
    values = {
        row[:2]: row[2] for row in parts.run_packed(tmp_path, argparse.Namespace(data=str(data)))
    }
    assert values["shards", "read and decoded, warm"] > 0 and values["files", "batches, warm"] > 0


def test_private_memory_grows_with_what_a_process_holds():
    before = parts.private_mb("self")
    with mmap.mmap(-1, 64 << 20) as held:  # new memory: freed memory might be reused
        held.write(b"x" * (64 << 20))
        assert 60 < parts.private_mb("self") - before < 140


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="--data should be the folder of ICDAR 2015"):
        sets.make_set(tmp_path / "set", tmp_path, 10)
