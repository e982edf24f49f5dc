"""Shards: the same batches as from files, damage named by record, and what is refused."""

import os

import grain
import numpy as np
import pytest
from tiny import draw_data, load_config, write_config

from ppocr_jax import pack as command
from ppocr_jax.data import inspection, packed
from ppocr_jax.data.image_files import read_bytes, read_size
from ppocr_jax.data.labels import read_labels, read_sources
from ppocr_jax.data.packing import pack
from ppocr_jax.data.pipeline import make_batches
from ppocr_jax.data.splits import read_validation
from ppocr_jax.errors import UserError


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packing")
    data = draw_data(folder / "data")
    return load_config(write_config(folder, data))


@pytest.fixture
def shards(config, tmp_path):
    """A config that reads shards of one or two images."""
    output = tmp_path / "packed"
    lines = pack(config, output, 2 * len(read_bytes(first_of(config).image_path)))
    assert lines[0].startswith("train: ") and lines[-1].startswith("to train on it: ")
    other = config.copy_and_resolve_references()
    other.data.root, other.data.train, other.data.val = str(output), "train.txt", "val.txt"
    return other


def first_of(config):
    return read_labels(config.data.train, config.data.root)[0]


def batches(config, steps=3):
    sources = read_sources(config.data.train, config.data.root)
    with make_batches(sources, config, 0, steps) as made:
        return list(made)


def test_batches_are_those_of_files(config, shards):
    assert len(list(os.scandir(shards.data.root))) > 5
    for files, records in zip(batches(config), batches(shards), strict=True):
        assert files.keys() == records.keys() and not records.pop("failures")
        for name in records:
            np.testing.assert_array_equal(files[name], records[name], name)
    assert len(read_validation(shards)) == len(read_validation(config))
    assert read_size(first_of(shards).image_path) == read_size(first_of(config).image_path)


def test_grain_reads_the_shards(shards):
    place = packed.find_place(first_of(shards).image_path)
    record = grain.sources.ArrayRecordDataSource([place.shard])[place.number]
    told, picture = packed.split_record(record)
    assert told["name"] == place.name and told["labels"] and picture == packed.read_picture(place)
    with pytest.raises(ValueError, match="not a record of an image"):
        packed.split_record(record[:9])


def test_check_data_says_of_shards_what_it_says_of_files(config, shards):
    said = [inspection.check(c) for c in (config, shards)]
    assert said[0] == said[1]


def test_a_damaged_record_is_named_and_replaced(config, shards):
    sample = first_of(shards)
    place = packed.find_place(sample.image_path)
    content = bytearray(open(place.shard, "rb").read())
    at = content.find(read_bytes(sample.image_path)) + 50
    content[at] ^= 1
    open(place.shard, "wb").write(content)
    with pytest.raises(UserError, match=f"{place.shard}: record 0 .*{place.name}.*mismatch"):
        read_bytes(sample.image_path)
    failures = [f for b in batches(shards, 8) for f in b["failures"]]
    assert (sample.image_path, failures[0][1]) == failures[0]
    problems, _ = inspection.check(shards)
    assert "record 0" in str(problems[0])
    os.truncate(place.shard, 100)
    with pytest.raises(UserError, match="not an ArrayRecord shard, or cut short"):
        read_bytes(sample.image_path)
    os.unlink(place.shard)
    with pytest.raises(UserError, match="record 0 .*No such file"):
        read_bytes(sample.image_path)
    assert read_size(sample.image_path) is None


def test_labels_of_a_folder_are_packed(config, tmp_path):
    (tmp_path / "gt_a.txt").write_text("0,0,9,0,9,5.5,0,5,word\n0,0,9,0,9,5,0,5,###\n")
    picture = tmp_path / "a.jpg"
    picture.write_bytes(read_bytes(first_of(config).image_path))
    other = config.copy_and_resolve_references()
    other.data.root, other.data.train, other.data.val = str(tmp_path), ".", "."
    pack(other, tmp_path / "packed", 1 << 20)
    (sample,) = read_labels("train.txt", tmp_path / "packed")
    assert sample.polygons[0][2].tolist() == [9, 5.5] and sample.ignore == (False, True)
    assert read_bytes(sample.image_path) == picture.read_bytes()


def test_what_cannot_be_packed(config, tmp_path):
    options = ["--config", str(write_config(tmp_path, config.data.root)), "--output"]
    with pytest.raises(UserError, match="already exists"):
        command.main([*options, str(tmp_path)])
    with pytest.raises(UserError, match="--shard-mb 0: should be"):
        command.main([*options, str(tmp_path / "new"), "--shard-mb", "0"])
    (tmp_path / "labels.txt").write_text("gone.jpg\t[]\n")
    with pytest.raises(UserError, match="labels.txt line 1: .*gone.jpg: No such file"):
        command.main(
            [*options, str(tmp_path / "new"), f"--config.data.train={tmp_path}/labels.txt"]
        )
    assert not (tmp_path / "new").exists()
    folder = tmp_path / "x.array_record" / "1"
    folder.mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"x")  # a plain file in folders of such names
    assert read_bytes(folder / "a.jpg") == b"x"
