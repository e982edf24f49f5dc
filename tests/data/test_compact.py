"""Packed batches: bit-equal maps, in few bytes."""

import numpy as np
import pytest

from ppocr_jax.data import compact
from ppocr_jax.data.targets import draw_targets

BACKGROUND = 0.3


def an_example(seed, side=96):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, side - 40, 2).tolist()
    polygon = np.array([[x, y], [x + 36, y + 5], [x + 33, y + 24], [x, y + 20]], np.float32)
    image = rng.integers(0, 256, (side, side, 3), np.uint8)
    failures = [(f"{seed}.jpg", "broken")] * (seed == 2)
    maps = draw_targets([polygon] * (seed != 1), [False] * (seed != 1), side, side)
    return {"image": image, **maps, "record": np.int32(seed), "failures": failures}


@pytest.fixture(scope="module")
def examples():
    return [an_example(seed) for seed in range(4)]


def stack(examples):
    return compact.stack([compact.pack(e, BACKGROUND) for e in examples], BACKGROUND)


def assert_same_maps(batch, examples):
    maps = compact.unpack(batch)
    for name in compact.MAPS:
        drawn = np.stack([example[name] for example in examples])
        assert maps[name].dtype == drawn.dtype
        assert maps[name].tobytes() == drawn.tobytes(), name


def test_the_maps_are_the_same_to_the_bit(examples):
    batch = stack(examples)
    assert_same_maps(batch, examples)
    np.testing.assert_array_equal(batch["image"], np.stack([e["image"] for e in examples]))
    assert batch["record"].tolist() == [0, 1, 2, 3] and batch["record"].dtype == np.int32
    assert batch["failures"] == [("2.jpg", "broken")] and batch["textless"] == 1


@pytest.mark.parametrize("background", [0.3, 0.0, 0.7])
def test_any_values_come_through(background):
    """No tile is background, or all are: a wrong background value only costs bytes."""
    rng = np.random.default_rng(0)
    example = an_example(0)
    example["threshold_map"] = rng.uniform(0, 1, (96, 96)).astype(np.float32)
    example["threshold_map"][:32] = np.float32(background)
    packed = compact.pack(example, background)
    assert len(packed["tiles"]) == 8 * 12  # of 12 x 12, four rows have the background alone
    assert_same_maps(compact.stack([packed, packed], background), [example, example])


def test_devices_get_their_own_tiles(examples):
    batch = stack(examples)
    for index, part in enumerate(compact.split(batch, 2)):
        own = examples[2 * index : 2 * index + 2]
        assert_same_maps(part, own)
        np.testing.assert_array_equal(part["image"], np.stack([e["image"] for e in own]))
    assert compact.split(batch, 1) == [batch]


def test_bytes_are_few_and_bounded(examples):
    def weigh(batch):
        return sum(value.nbytes for value in batch.values() if isinstance(value, np.ndarray))

    pixels = 4 * 96**2
    assert weigh(stack(examples)) < 4.3 * pixels  # a word of 36x24 in 96x96: 10 % of the tiles
    rng = np.random.default_rng(0)
    full = [{**e, "threshold_map": rng.random((96, 96), np.float32)} for e in examples]
    assert 7 * pixels < weigh(stack(full)) <= compact.most_bytes(4, 96) < 7.6 * pixels
