"""Few shapes for photos of any sizes, none of them much too large."""

import concurrent.futures

import numpy as np
import pytest

from ppocr_jax.data.resize import MOST_PIXELS, plan_size
from ppocr_jax.detection.shapes import Few, Multiples, Shape


def photos(count, low, high, aspect, seed):
    """Random `(height, width)`, upright and lying, sizes evenly spread on a logarithmic scale."""
    rng = np.random.default_rng(seed)
    longer = np.exp(rng.uniform(np.log(low), np.log(high), count))
    shorter = longer / rng.uniform(1, aspect, count)
    pairs = np.where(rng.random((count, 1)) < 0.5, [[0, 1]], [[1, 0]])
    return np.take_along_axis(np.stack([longer, shorter], 1), pairs, 1).astype(int).tolist()


@pytest.mark.parametrize(
    ("limit_side", "limit_type", "longest", "aspect"),
    [(736, "min", 4096, 6.0), (960, "max", 9000, 6.0), (960, "resize_long", 9000, 6.0),
     (96, "min", 1120, 3.0), (1280, "min", 4096, 3.0), (64, "max", 9000, 6.0)],
)  # fmt: skip
@pytest.mark.parametrize("seed", range(5))
def test_photos_of_any_sizes_have_at_most_eight(limit_side, limit_type, longest, aspect, seed):
    few = Few(limit_side, limit_type)
    options = {"limit_side": limit_side, "limit_type": limit_type}
    planned = [plan_size(*size, **options) for size in photos(300, 60, longest, aspect, seed)]
    assert len(set(planned)) > 8 or limit_side == 64
    shapes = [few(*size) for size in planned]
    assert few.used() == set(shapes) and len(few.used()) <= 8
    for (height, width), shape in zip(planned, shapes, strict=True):
        assert shape.height >= height and shape.width >= width
        assert shape.area <= max(8 * height * width, 1_500_000) and shape.area <= MOST_PIXELS
    assert [few(*size) for size in planned] == shapes  # a size keeps its shape


def test_the_usual_sizes_waste_little():
    few = Few(736, "min")
    assert few(736, 1280) == (736, 1280, False)  # one camera pays nothing
    assert few(1280, 736) == (1280, 768, True)
    assert few(736, 1120) == (768, 1280, True)
    assert few(736, 1184) == (768, 1280, True)  # which is there and fits well
    assert few(1120, 1120) == (1120, 1120, True)
    assert few(736, 1280) == (736, 1280, False)


def test_what_no_standard_shape_holds_is_rounded():
    few = Few(736, "min")
    for size in ((736, 736), (736, 1280), (1280, 736)):
        few(*size)
    assert few(3008, 6016) == (3072, 6144, True)
    assert few(736, 6784) == (1120, 6784, True)
    assert few(736, 6816) == (768, 6912, True)
    assert few(4000, 6016) == (4000, 6016, True)  # rounded, it would be more than 25 million
    assert few(32, 156000) == (32, 156000, True)


def test_threads_get_what_they_get_in_turn():
    few = Few(736, "min")
    sizes = [plan_size(*size) for size in photos(40, 60, 4096, 3.0, 9)] * 8
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        shapes = list(pool.map(lambda size: few(*size), sizes))
    assert shapes == [few(*size) for size in sizes] and len(few.used()) <= 8


def test_multiples():
    assert Multiples(0)(96, 160) == Shape(96, 160, False)
    assert Multiples(256)(96, 160) == Shape(256, 256, True)
    assert Multiples(256)(32, 25600) == Shape(32, 25600, True)  # eight times as large otherwise
