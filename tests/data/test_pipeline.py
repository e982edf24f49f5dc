"""Batches depend on the config and their number, and on nothing else."""

import shutil

import cv2
import numpy as np
import pytest
from tiny import draw_data, load_config, write_config

from ppocr_jax.data.compact import unpack
from ppocr_jax.data.examples import MakeExample
from ppocr_jax.data.labels import read_sources
from ppocr_jax.data.pipeline import Supply, batches_waiting, make_batches
from ppocr_jax.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    draw_data(folder / "data", train=10)
    return folder


def plain(batch):
    """A batch with unpacked maps."""
    names = ("image", "record", "failures", "textless")
    return {**{name: batch[name] for name in names}, **unpack(batch)}


@pytest.fixture
def make(folder):
    """`make(first, count, *overrides, shard=...) -> list of batches`."""
    path = write_config(folder, folder / "data")

    def run(first, count, *overrides, shard=(0, 1)):
        config = load_config(path, *overrides)
        sources = read_sources(config.data.train, config.data.root)
        batches = make_batches(sources, config, first, count, shard)
        try:
            return [plain(batch) for batch in batches]
        finally:
            batches.close()

    return run


def assert_same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], name)


def test_a_batch_has_its_form(make):
    (batch,) = make(0, 1)
    assert batch["image"].shape == (4, 64, 64, 3) and batch["image"].dtype == np.uint8
    assert batch["threshold_map"].dtype == np.float32
    for name in ("threshold_mask", "shrink_map", "shrink_mask"):
        assert batch[name].shape == (4, 64, 64) and batch[name].dtype == np.uint8
    assert batch["record"].shape == (4,) and batch["failures"] == []
    assert batch["shrink_map"].any()


def test_starting_later_gives_the_same_batches(make):
    whole = make(0, 8)
    assert_same(whole[5:], make(5, 3))
    assert_same(whole, make(0, 8, "data.prefetch_mb=100"))


def test_workers_change_nothing(make):
    assert_same(make(0, 7), make(0, 7, "data.workers=2"))


@pytest.fixture
def opencv_threads():
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    yield 2
    cv2.setNumThreads(before)


def test_opencv_has_its_threads_back_when_batches_are_closed(folder, opencv_threads):
    config = load_config(write_config(folder, folder / "data"))
    sources = read_sources(config.data.train, config.data.root)
    with make_batches(sources, config, 0, 1) as batches:
        assert cv2.getNumThreads() == 1
        next(batches)
    assert cv2.getNumThreads() == opencv_threads
    cv2.setNumThreads(1)
    batches.close()
    assert cv2.getNumThreads() == 1  # closing again changes nothing


def test_processes_share_every_batch(make):
    whole = make(0, 4)
    halves = [make(0, 4, shard=(index, 2)) for index in range(2)]
    for step, batch in enumerate(whole):
        for name in ("image", "record", "shrink_map"):
            joined = np.concatenate([half[step][name] for half in halves])
            np.testing.assert_array_equal(joined, batch[name])


def test_every_epoch_has_every_record_and_its_own_order(make):
    records = np.concatenate([batch["record"] for batch in make(0, 6)])  # 3 batches an epoch
    first, second = records[:12], records[12:]
    assert sorted(first[:10]) == sorted(second[:10]) == list(range(10))
    assert list(first[:10]) != list(second[:10])
    assert list(first[10:]) == list(second[:2])  # the last batch goes on with the next order


def test_filled_samples_are_drawn_anew(make):
    batches = make(0, 4)
    filled, again = batches[2]["image"][2], batches[3]["image"][0]
    assert batches[2]["record"][2] == batches[3]["record"][0] and (filled != again).any()


def test_drop_leaves_the_rest_out(make):
    records = np.concatenate([b["record"] for b in make(0, 4, "data.last_batch=drop")])
    for epoch in (records[:8], records[8:]):
        assert len(set(epoch)) == 8


def test_the_seed_decides(make):
    one, other = make(0, 1), make(0, 1, "seed=5")
    assert (one[0]["image"] != other[0]["image"]).any()


def test_pasting_adds_words(make):
    plain, pasted = make(0, 3), make(0, 3, "data.augment.paste=True")
    assert any((a["image"] != b["image"]).any() for a, b in zip(plain, pasted, strict=True))


def test_prefetch_is_bounded_by_bytes():
    supply = Supply(prefetch_mb=512)
    assert batches_waiting(960, 8, supply) == 9  # at most 8 x 960 x 960 x 7.5 bytes are 53 MiB
    assert batches_waiting(960, 80, supply) == 1


def test_bad_records_are_replaced_and_named(tmp_path, folder):
    shutil.copytree(folder / "data", tmp_path / "data")
    (tmp_path / "data" / "train_3.png").write_bytes(b"")
    (tmp_path / "data" / "train_7.png").unlink()
    config = load_config(write_config(tmp_path, tmp_path / "data"))
    sources = read_sources(config.data.train, config.data.root)
    for workers in (0, 2):
        config.data.workers = workers
        batches = make_batches(sources, config, 0, 3)
        drawn = list(batches)
        failures = [failure for batch in drawn for failure in batch["failures"]]
        records = np.concatenate([batch["record"] for batch in drawn])
        batches.close()
        assert {path[-11:] for path, _ in failures} == {"train_3.png", "train_7.png"}
        assert any("empty" in reason for _, reason in failures)
        assert len(records) == 12 and not {3, 7} & set(records)


def test_nothing_but_bad_records_ends(tmp_path, folder):
    config = load_config(write_config(tmp_path, folder / "data"))
    samples = read_sources(config.data.train, config.data.root)[0]
    lost = [
        type(s)(s.image_path + ".gone", s.polygons, s.ignore, s.source, s.line) for s in samples
    ]
    with pytest.raises(UserError, match="10 training records in a row"):
        MakeExample(lost, config).map((0, 0, 0))


def test_images_without_text_are_kept(tmp_path, folder):
    shutil.copytree(folder / "data", tmp_path / "data")
    (tmp_path / "data" / "train.txt").write_text("train_0.png\t[]\n")
    config = load_config(write_config(tmp_path, tmp_path / "data"), "data.augment.paste=True")
    example = MakeExample(read_sources("train.txt", config.data.root)[0], config).map((0, 0, 0))
    assert not example["shrink_map"].any() and example["shrink_mask"].all()
    assert example["image"].any()
