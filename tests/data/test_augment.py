"""The list of augmentations: its order, its random streams, and the effect of a new entry."""

import numpy as np
import pytest
from tiny import draw_data, load_config, write_config

from ppocr_jax.data import STREAMS, augment
from ppocr_jax.data.augment import Entry, Job, View
from ppocr_jax.data.examples import MakeExample
from ppocr_jax.data.labels import read_sources
from ppocr_jax.errors import UserError

MAPS = ("threshold_map", "threshold_mask", "shrink_map", "shrink_mask")
KEYS = [(epoch, record, 0) for epoch in range(3) for record in range(8)]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("augment")
    draw_data(folder / "data", train=8)
    return write_config(folder, folder / "data")


def examples(path, streams, paste=True):
    config = load_config(path, f"data.augment.streams={streams}", f"data.augment.paste={paste}")
    make = MakeExample(read_sources(config.data.train, config.data.root)[0], config)
    return [make.map(key) for key in KEYS]


def fade(view, rng, job):
    """A photometric step: reduces the contrast by a random factor."""
    return view._replace(image=(view.image * rng.uniform(0.2, 0.6)).astype(np.uint8))


def registered(place):
    """The list with a new entry before published entry number `place`, or at its end."""
    entries = list(augment.AUGMENTATIONS)
    entries.insert(place, Entry("fade", fade, pixels=True))
    return tuple(entries)


def moved_view(view, job, key, streams):
    return augment.augment(view, job, STREAMS[streams](key, augment.generator(key)))


def test_the_order_is_written_once():
    names = [entry.name for entry in augment.AUGMENTATIONS]
    assert names[:4] == ["paste", "geometry", "crop", "draw"]  # the published ones


@pytest.mark.parametrize("place", [0, 1, 4])
@pytest.mark.parametrize("streams", STREAMS)
def test_a_new_entry_changes_no_number_of_the_others(path, monkeypatch, streams, place):
    before = examples(path, streams)
    monkeypatch.setattr(augment, "AUGMENTATIONS", registered(place))
    after = examples(path, streams)
    for one, other in zip(before, after, strict=True):
        for name in MAPS:  # of geometry, crop and pasted words alike
            np.testing.assert_array_equal(one[name], other[name])
        assert other["image"].mean() < 0.7 * one["image"].mean()
    assert len({round(o["image"].mean() / b["image"].mean(), 3)
                for b, o in zip(before, after, strict=True)}) > 10  # fmt: skip


def test_separate_streams_are_independent_of_a_published_entry(path):
    """With one stream for all, pasting moves geometry and crop; with one each, it does not."""
    config = load_config(path, "data.augment.paste=True")
    samples = read_sources(config.data.train, config.data.root)[0]
    options = config.data.augment.to_dict()
    same = {}
    for streams in STREAMS:
        pairs = []
        for key in KEYS:
            word = np.array([[10, 10], [60, 10], [60, 20], [10, 20]], np.float32)
            image = np.zeros((96, 96, 3), np.uint8)
            view = View(image, image.shape[:2], [word], [False])
            pairs.append([
                moved_view(view, Job(options | {"paste": paste}, 64, samples), (3, *key), streams)
                for paste in (False, True)
            ])  # fmt: skip
        assert all(len(with_.ignore) >= 1 for _, with_ in pairs)
        same[streams] = [without.geometry == with_.geometry for without, with_ in pairs]
    assert not any(same["shared"]) and all(same["separate"])


def test_the_two_ways_draw_other_numbers_and_both_repeat(path):
    one, again, other = (examples(path, s) for s in ("separate", "separate", "shared"))
    for a, b in zip(one, again, strict=True):
        for name in ("image", *MAPS):
            np.testing.assert_array_equal(a[name], b[name])
    assert sum((a["image"] != c["image"]).any() for a, c in zip(one, other, strict=True)) > 20


def test_streams_of_different_names_keys_and_samples_differ():
    drawn = {
        augment.generator(key, name).integers(2**62)
        for key in ((0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 1, 0), (0, 1, 0, 0), (1, 0, 0, 0))
        for name in ("", "crop", "geometry", "paste")
    }
    assert len(drawn) == 20


def test_without_pixels_only_the_polygons_move(path):
    """As in the check of the data: the same list and the same crop, without an image."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (80, 120, 3)).astype(np.uint8)
    words = [np.array([[20, 20], [80, 24], [79, 44], [19, 40]], np.float32)]
    options = load_config(path).data.augment.to_dict() | {"scale": (0.5, 3)}
    for seed in range(20):
        drawn, bare = (
            moved_view(
                View(pixels, (80, 120), words, [False]), Job(options, 64), (seed, 0, 0, 0), "shared"
            )  # fmt: skip
            for pixels in (image, None)
        )
        assert bare.image is None and drawn.image.shape == (64, 64, 3)
        assert (bare.crop, bare.geometry, bare.size) == (drawn.crop, drawn.geometry, drawn.size)
        np.testing.assert_array_equal(bare.polygons, drawn.polygons)


def test_a_config_chooses_its_streams_by_name(path):
    config = load_config(path)
    assert config.data.augment.streams == "shared"
    samples = read_sources(config.data.train, config.data.root)[0]
    config.data.augment.streams = "alone"
    with pytest.raises(UserError, match="data.augment.streams=alone: choose one of shared, sep"):
        MakeExample(samples, config)
