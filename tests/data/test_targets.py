"""Target maps: bit-equal to the recorded ones, and mathematical properties."""

import tracemalloc

import cv2
import numpy as np
import pytest

from ppocr_jax.data.polygons import offset_distance, signed_area
from ppocr_jax.data.targets import (
    draw_shrink_map,
    draw_targets,
    draw_threshold_map,
    require_drawable,
    shrink_polygon,
)
from ppocr_jax.errors import UserError

WORD = np.array([[20, 20], [80, 24], [79, 44], [19, 40]], np.float32)


def test_maps_match_reference(recorded, cases):
    arrays = recorded("targets.npz")
    for case in cases(recorded("targets.json")):
        polygons = [np.array(polygon, np.float32) for polygon in case["polys"]]
        size, name = (case["h"], case["w"]), case["name"]
        shrink_map, shrink_mask, ignore = draw_shrink_map(polygons, case["ignore"], *size)
        np.testing.assert_array_equal(shrink_map, arrays[f"{name}/shrink_map"], name)
        np.testing.assert_array_equal(shrink_mask, arrays[f"{name}/shrink_mask"], name)
        assert list(ignore) == list(case["ignore_after"]), name
        threshold_map, mask = draw_threshold_map(polygons, case["ignore"], *size)
        if f"{name}/threshold_map" in arrays:  # else the original drops the whole sample
            np.testing.assert_array_equal(threshold_map, arrays[f"{name}/threshold_map"], name)
            np.testing.assert_array_equal(mask, arrays[f"{name}/threshold_mask"], name)


def test_dtypes_and_ranges():
    maps = draw_targets([WORD], [False], 64, 96)
    assert {name: (m.dtype, m.shape) for name, m in maps.items()} == {
        "threshold_map": (np.float32, (64, 96)),
        "threshold_mask": (np.uint8, (64, 96)),
        "shrink_map": (np.uint8, (64, 96)),
        "shrink_mask": (np.uint8, (64, 96)),
    }
    np.testing.assert_allclose(maps["threshold_map"].min(), 0.3, rtol=1e-6)
    assert 0.65 < maps["threshold_map"].max() <= 0.7000001
    assert maps["shrink_mask"].all() and set(np.unique(maps["shrink_map"])) == {0, 1}


def test_threshold_map_is_a_distance():
    """Against OpenCV's distance to the outline, for long edges."""
    square = np.array([[20, 20], [80, 20], [80, 80], [20, 80]], np.float32)
    threshold_map, mask = draw_threshold_map([square], [False], 100, 100)
    distance = offset_distance(square, 0.4)
    assert distance == pytest.approx(60 * 60 * (1 - 0.16) / 240)
    row = threshold_map[50, :50]
    expected = 0.3 + 0.4 * np.clip(1 - abs(np.arange(50) - 20) / distance, 0, 1)
    off_line = np.arange(50) != 20  # on the line itself rounding decides
    np.testing.assert_allclose(row[off_line], expected[off_line], atol=1e-5)
    assert mask[50, 8] == 1 and mask[50, 6] == 0


def test_a_smaller_ratio_shrinks_more():
    areas = [draw_shrink_map([WORD], [False], 64, 96, r, 8)[0].sum() for r in (0.2, 0.4, 0.6)]
    assert 0 < areas[0] < areas[1] < areas[2] < cv2.contourArea(WORD)


def test_a_flip_of_polygons_flips_the_maps():
    square = np.array([[20, 20], [70, 20], [70, 50], [20, 50]], np.float32)
    flipped = square * [-1, 1] + np.array([95, 0])
    one = draw_targets([square], [False], 64, 96)
    other = draw_targets([flipped.astype(np.float32)], [False], 64, 96)
    for name in one:  # but for pixels at round corners, whose vertices Clipper truncates
        assert (abs(one[name][:, ::-1] - other[name].astype(float)) > 1e-5).mean() < 0.005, name


def test_ignored_and_tiny_words_are_cut_out_of_the_mask():
    tiny = np.array([[5, 50], [40, 50], [40, 55], [5, 55]], np.float32)
    shrink_map, mask, ignore = draw_shrink_map([WORD, tiny], [True, False], 64, 96)
    assert not shrink_map.any() and list(ignore) == [True, True]
    assert mask[30, 50] == 0 and mask[52, 20] == 0 and mask[5, 5] == 1
    threshold_map, _ = draw_threshold_map([tiny], [False], 64, 96)
    assert threshold_map.max() > 0.6  # too small to shrink, but its border is learned


def test_polygons_outside_or_without_area_draw_nothing():
    outside = WORD + np.float32(500)
    line = np.array([[5, 5], [50, 5], [30, 5]], np.float32)
    for polygon in (outside, -outside, line):
        maps = draw_targets([polygon], [False], 64, 96)
        assert not maps["shrink_map"].any()
        np.testing.assert_allclose(maps["threshold_map"], 0.3, rtol=1e-6)


def test_no_polygons():
    maps = draw_targets([], [], 32, 32)
    assert maps["shrink_mask"].all() and not maps["shrink_map"].any()
    assert not maps["threshold_mask"].any()


def test_a_dumbbell_keeps_one_piece_or_all():
    dumbbell = np.array(
        [[0, 0], [40, 0], [40, 15], [60, 15], [60, 0], [100, 0], [100, 40], [60, 40],
         [60, 19], [40, 19], [40, 40], [0, 40]], np.float32,
    )  # fmt: skip
    pieces = shrink_polygon(dumbbell + 10, 0.4)
    assert len(pieces) >= 1
    shrink_map, _, _ = draw_shrink_map([dumbbell + 10], [False], 64, 128)
    assert shrink_map[20, 20] == 1 and shrink_map[20, 90] == 1


def test_signed_area():
    assert signed_area(WORD) == -signed_area(WORD[::-1])
    assert abs(signed_area(WORD)) == pytest.approx(cv2.contourArea(WORD))


def outline(points, side):
    """A circle of so many points in a square of `side` pixels."""
    angles = np.arange(points) * 2 * np.pi / points
    circle = np.stack([np.cos(angles), np.sin(angles)], 1)
    return (side / 2 + 0.45 * side * circle).astype(np.float32)


def test_long_outlines_take_no_memory_per_point():
    circle = outline(400, 256)
    tracemalloc.start()
    threshold_map, mask = draw_threshold_map([circle], [False], 256, 256)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 256 * 256 * 8  # a few maps, where one per point had 400
    distance = np.hypot(*(np.indices((256, 256)) - 128)) - 0.45 * 256
    inner = np.abs(distance) / offset_distance(circle, 0.4)
    near = np.abs(np.clip(0.7 - 0.4 * inner, 0.3, 0.7) - threshold_map)
    assert near[distance < 0].max() < 0.02 and mask[128, 128] == 1


@pytest.mark.parametrize(
    "polygons",
    [
        [*np.random.default_rng(0).uniform(0, 256, (3, 900, 2)).astype(np.float32)],
        [np.array([[1, 1], [250, 1], [250, 250], [1, 250]], np.float32)] * 300,
        [np.array([[-9, -9], [900, -9], [900, 900], [-9, 900]], np.float32) * 1000] * 300,
    ],
)
def test_what_would_take_minutes_is_refused(polygons):
    ignore = [False] * len(polygons)
    for draw in (draw_targets, require_drawable):
        with pytest.raises(UserError, match="minutes to draw"):
            draw(polygons, ignore, 256, 256)
    require_drawable(polygons, [True] * len(polygons), 256, 256)  # nothing to learn, nothing drawn
    require_drawable([outline(1000, 256)], [False], 256, 256)
