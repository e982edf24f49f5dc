"""Run lengths decode to their masks, and outlines follow the pixels' edges."""

import numpy as np
import pytest
import shapely
from annotations.rle import brushed, compressed, counts_of

from ppocr_jax.annotations import masks, shapes


def random_mask(seed, height=23, width=37):
    rng = np.random.default_rng(seed)
    mask = rng.random((height, width)) < 0.4
    mask[5:15, 8:30] = True
    mask[0, 0] = bool(seed % 2)
    return mask


@pytest.mark.parametrize("seed", range(6))
def test_counts(seed):
    mask = random_mask(seed)
    counts = counts_of(mask)
    assert (masks.decode_counts(counts, 23, 37) == mask).all()
    assert (masks.decode_counts(compressed(counts), 23, 37) == mask).all()


def test_a_large_mask_has_differences_of_several_letters():
    mask = np.zeros((700, 900), bool)
    mask[100:600, 200:800] = True
    text = compressed(counts_of(mask))
    assert (masks.decode_counts(text, 700, 900) == mask).all()


def test_counts_of_a_known_mask():
    # From the format's description: 5, 1 and 3 pixels, of which the middle one is in the mask.
    assert counts_of([[0, 0, 0], [0, 0, 0], [0, 1, 0]]) == [5, 1, 3]
    assert compressed([5, 1, 3]) == "513" and compressed([100, 4, 130, 9]) == "T34R45"


@pytest.mark.parametrize("seed", range(4))
def test_brushes(seed):
    mask = random_mask(seed)
    assert (masks.decode_brush(brushed(mask), 23, 37) == mask).all()


@pytest.mark.parametrize("counts, reason", [
    ([5, 1], "6 pixels of 9"), ([5, -1, 5], "not whole"), ([5, 1.5, 2], "not whole numbers"),
    ("5", "5 pixels of 9"), ("\x01", "not text as COCO"), ("P", "cut short"), ("é" * 3, "not text"),
    ("o" * 99, "not text"),
])  # fmt: skip
def test_counts_that_are_none(counts, reason):
    with pytest.raises(ValueError, match=reason):
        masks.decode_counts(counts, 3, 3)


@pytest.mark.parametrize("packed", [[], [1, 2, 3], ["a"], None, [300] * 9, [255] * 60])
def test_brushes_that_are_none(packed):
    with pytest.raises(ValueError, match="brush"):
        masks.decode_brush(packed, 3, 3)
    with pytest.raises(ValueError, match="cut short"):
        masks.decode_brush(brushed(random_mask(1))[:-2], 23, 37)


def test_outlines_run_around_the_pixels():
    mask = np.zeros((20, 40), np.uint8)
    mask[4:10, 5:30] = 1
    [outline] = masks.mask_polygons(mask)
    assert sorted(outline.tolist()) == [[5, 4], [5, 10], [30, 4], [30, 10]]
    mask[4:10, 5:30] = 0
    mask[7, 3] = 1
    [pixel] = masks.mask_polygons(mask)
    assert shapely.Polygon(pixel).bounds == (3, 7, 4, 8)
    assert masks.mask_polygons(np.zeros((5, 5), bool)) == []


def test_a_curved_mask_keeps_its_shape_within_a_pixel():
    mask = np.zeros((200, 300), np.uint8)
    y, x = np.mgrid[:200, :300]
    distance = np.hypot(x - 150, y - 190)
    mask[(distance > 100) & (distance < 130) & (y < 150)] = 1
    [outline] = masks.mask_polygons(mask)
    assert 8 < len(outline) < 60 and abs(shapely.Polygon(outline).area / mask.sum() - 1) < 0.02


def test_specks_are_slips_of_the_brush():
    mask = np.zeros((50, 50), np.uint8)
    mask[5:25, 5:45], mask[40, 40] = 1, 1
    assert len(masks.mask_polygons(mask)) == 1


def square(x, y, side=10):
    return np.array([[x, y], [x + side, y], [x + side, y + side], [x, y + side]], float)


def test_parts_of_a_word():
    [touching] = shapes.join_parts([square(0, 0), square(10, 0)])
    assert shapely.Polygon(touching).equals(shapely.box(0, 0, 20, 10))
    [split] = shapes.join_parts([square(0, 0), square(14, 0)])
    assert shapely.Polygon(split).equals(shapely.box(0, 0, 24, 10))
    far = [square(0, 0), square(100, 300)]
    assert shapes.join_parts(far) == far


def test_boxes_turn_clockwise_on_the_screen():
    turned = shapes.rotated_box(100, 50, 40, 20, 90)
    np.testing.assert_allclose(turned, [[100, 50], [100, 90], [80, 90], [80, 50]], atol=1e-9)
    turned = shapes.rotated_box(100, 50, 40, 20, 90, pivot="centre")
    np.testing.assert_allclose(turned, [[130, 40], [130, 80], [110, 80], [110, 40]], atol=1e-9)
