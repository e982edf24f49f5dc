import time

import numpy as np
import pytest

from ppocr_jax.scoring.metrics import Counts, summarise
from ppocr_jax.scoring.uncertainty import hmean_of, interval, paired_difference


def draw_images(rng, count, recall=0.6):
    """Counts of images whose words and difficulty vary as those of real ones do."""
    labelled = rng.poisson(6, count) + 1
    matched = rng.binomial(labelled, np.clip(rng.normal(recall, 0.25, count), 0, 1))
    return np.stack([labelled, matched + rng.poisson(1.5, count), matched], 1)


def test_hmean_is_the_metric_s():
    counts = draw_images(np.random.default_rng(1), 20)
    rows = [Counts(*row, 0, 0) for row in counts.tolist()]
    assert hmean_of(counts.sum(0)) == pytest.approx(summarise(rows)["hmean"], rel=1e-12)
    assert hmean_of([0, 0, 0]) == 0.0
    assert interval(rows) == interval(counts)


@pytest.mark.parametrize("images", [15, 50])
def test_the_interval_holds_the_true_value_about_as_often_as_it_says(images):
    rng = np.random.default_rng(2)
    true = hmean_of(draw_images(rng, 400_000).sum(0))
    held = [low <= true <= high for low, high in
            (interval(draw_images(rng, images)) for _ in range(200))]  # fmt: skip
    assert 0.90 <= np.mean(held) <= 0.99


def test_fewer_images_leave_more_doubt():
    counts = draw_images(np.random.default_rng(3), 240)
    widths = [np.subtract(*interval(counts[:n])[::-1]) for n in (15, 60, 240)]
    assert widths[0] > 1.5 * widths[1] > 2.25 * widths[2] > 0


def test_one_image_proves_nothing():
    assert interval([(3, 3, 3)]) == interval([]) == (0.0, 1.0)
    assert not paired_difference([(3, 3, 0)], [(3, 3, 3)]).more_than_chance


def test_a_pair_says_more_than_two_intervals():
    rng = np.random.default_rng(4)
    before = draw_images(rng, 60)
    better = before + (before[:, :1] > before[:, 2:]) * [[0, 1, 1]]  # a word more in each image
    found = paired_difference(before, better)
    assert found.more_than_chance and found.chance < 0.01
    assert found.low < found.gain < found.high
    gain = hmean_of(better.sum(0)) - hmean_of(before.sum(0))
    assert found.gain == pytest.approx(gain, rel=1e-12)
    assert interval(before)[1] > interval(better)[0]  # the intervals overlap
    back = paired_difference(better, before)
    assert back.gain == -found.gain and back.more_than_chance


def test_two_equally_good_models_differ_by_chance_alone():
    rng = np.random.default_rng(5)
    found = [
        paired_difference(draw_images(rng, 40), draw_images(rng, 40)).more_than_chance
        for _ in range(100)
    ]
    assert np.mean(found) <= 0.1
    same = draw_images(rng, 40)
    assert paired_difference(same, same) == (0.0, 0.0, 0.0, 1.0)


def test_thousands_of_images_take_no_time():
    counts = draw_images(np.random.default_rng(6), 5000)
    began = time.perf_counter()
    low, high = interval(counts)
    assert low < hmean_of(counts.sum(0)) < high
    assert time.perf_counter() - began < 5


def test_pairs_are_of_the_same_images():
    with pytest.raises(ValueError):
        paired_difference([(1, 1, 1)], [(1, 1, 1), (1, 1, 1)])
