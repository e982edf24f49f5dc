"""The words in crops are those of training itself, and every word keeps its number."""

import dataclasses
import itertools

import cv2
import numpy as np
import pytest
from tiny import draw_data, load_config, write_config

from ppocr_jax.data import compact, word_table
from ppocr_jax.data.examples import first_examples
from ppocr_jax.data.training_split import Training
from ppocr_jax.data.words_in_crops import words_in_crop

SIDE = (96, 96)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    return load_config(write_config(folder, draw_data(folder / "data")))


def test_words_in_a_crop_are_those_of_the_example(config):
    """The shrink maps of training examples hold text exactly where a word is left."""
    make, examples = first_examples([Training(config).samples], config, 10)
    for key, example in examples:
        words = words_in_crop(make, key, SIDE)
        assert len(words.numbers) == len(words.polygons) == len(words.lost)
        kept = [p for p, lost in zip(words.polygons, words.lost, strict=True) if not lost]
        assert len(kept) == cv2.connectedComponents(example["shrink_map"])[0] - 1
        for polygon in kept:
            x, y = np.clip(polygon, 0, config.crop - 1).mean(0).astype(int)
            assert example["shrink_map"][y, x] == 1


def test_first_examples_are_those_of_the_first_batches(config):
    training = Training(config)
    _, examples = first_examples([training.samples], config, 5)
    with training.batches(0, (0, 1)) as batches:
        firsts = [{**batch, **compact.unpack(batch)} for batch in itertools.islice(batches, 2)]
    for number, (key, example) in enumerate(examples):
        batch, place = firsts[number // config.batch_size], number % config.batch_size
        assert batch["record"][place] == key[1]
        for name in ("image", "shrink_map", "shrink_mask", "threshold_map", "threshold_mask"):
            np.testing.assert_array_equal(batch[name][place], example[name])


def test_every_word_keeps_its_name(config):
    """Words are tracked by their number: with a single word to learn, that one is seen."""
    training = Training(config)
    ignored = [dataclasses.replace(s, ignore=(True, False, True)) for s in training.samples]
    words = word_table.tabulate(ignored, [SIDE] * 10, config)
    assert words.place.tolist() == [[n, 1] for n in range(10)]
    looks = word_table.look_through_crops(words, ignored, [SIDE] * 10, config)
    assert looks.crops == 80 and looks.seen.sum() == len(looks.shapes) and looks.seen.min() > 0
    assert looks.counts.sum() == (looks.seen - looks.lost).sum()


def test_sizes_at_both_scales(config):
    sample = dataclasses.replace(
        Training(config).samples[0],
        polygons=(np.array([[0, 0], [40, 0], [40, 10], [0, 10]], np.float32),),
        ignore=(False,),
    )
    words = word_table.tabulate([sample], [(48, 48)], config)  # limit_side=96: twice as large
    np.testing.assert_allclose(words.image, [[10, 40, 4, 0]], atol=1e-4)
    np.testing.assert_allclose(words.network, [[20, 80, 4, 0]], atol=1e-4)


def test_small_words_are_lost(config):
    config = config.copy_and_resolve_references()
    config.data.targets.min_text_size = 500
    samples = Training(config).samples
    words = word_table.tabulate(samples, [SIDE] * 10, config)
    looks = word_table.look_through_crops(words, samples, [SIDE] * 10, config)
    assert (looks.lost == looks.seen).all() and looks.counts.sum() == 0


def test_how_many_crops_are_drawn():
    assert len(word_table._choose_keys(60)) == 480 and len(word_table._choose_keys(1000)) == 2000
    keys = word_table._choose_keys(5000)
    assert len(keys) <= 2000 and {epoch for epoch, _, _ in keys} == {0} and keys[-1][1] > 4900
    assert word_table._choose_keys(0) == []
