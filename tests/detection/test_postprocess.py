"""Maps -> polygons: the recorded ones, and properties."""

import cv2
import numpy as np
import pytest

from ppocr_jax.data.polygons import box_around, mean_inside
from ppocr_jax.detection.postprocess import find_polygons, unclip

ARGUMENTS = {"box_thresh": 0.7, "unclip_ratio": 2.0}  # the original's defaults


def test_polygons_match_reference(recorded, cases):
    record, arrays = recorded("postprocess.json"), recorded("postprocess.npz")
    for entry in cases(record["maps"]):
        shrink_map = arrays[entry["name"]].astype(np.float32) / np.float32(255)
        for name, arguments in record["variants"].items():
            found, scores = find_polygons(
                shrink_map, entry["dest_h_w"], **{**ARGUMENTS, **arguments}
            )
            expected = entry["results"][name]
            label = f"{entry['name']} {name}"
            assert len(found) == len(expected["boxes"]), label
            for ours, theirs in zip(found, expected["boxes"], strict=True):
                assert np.shape(ours) == np.shape(theirs), label
                assert abs(ours - np.array(theirs)).max() <= 1, label
            np.testing.assert_allclose(scores, expected["scores"], atol=1e-5, err_msg=label)


def bar(value=0.9, background=0.0):
    shrink_map = np.full((96, 160), background, np.float32)
    shrink_map[30:50, 20:100] = value
    return shrink_map


def test_a_bar_by_hand():
    (quad,), (score,) = find_polygons(bar(), (192, 320))
    np.testing.assert_array_equal(quad, [[18, 38], [220, 38], [220, 120], [18, 120]])
    assert quad.dtype == np.int32 and score == pytest.approx(0.9, abs=1e-6)


def test_thresholds():
    assert len(find_polygons(bar(0.5), (96, 160), box_thresh=0.5)[0]) == 1  # equal is kept
    assert len(find_polygons(bar(0.5), (96, 160), box_thresh=0.51)[0]) == 0
    assert len(find_polygons(bar(0.5), (96, 160), thresh=0.5, box_thresh=0.1)[0]) == 0  # strict
    assert find_polygons(np.zeros((32, 32), np.float32), (32, 32))[0] == []


def test_small_regions_are_dropped():
    shrink_map = np.zeros((64, 64), np.float32)
    shrink_map[10:12, 10:40] = 1
    assert find_polygons(shrink_map, (64, 64))[0] == []
    shrink_map[20:24, 10:14] = 1  # 3 pixels between its corners, not 5 after growing
    assert find_polygons(shrink_map, (64, 64), unclip_ratio=0.1)[0] == []


def test_candidates_are_limited():
    shrink_map = np.zeros((64, 64), np.float32)
    for row in range(0, 60, 12):
        shrink_map[row : row + 8, 10:50] = 1
    assert len(find_polygons(shrink_map, (64, 64), unclip_ratio=0.2)[0]) == 5
    assert len(find_polygons(shrink_map, (64, 64), unclip_ratio=0.2, max_candidates=2)[0]) == 2


def test_dilation_grows_right_and_down():
    plain = find_polygons(bar(), (96, 160))[0][0]
    dilated = find_polygons(bar(), (96, 160), use_dilation=True, box_thresh=0.5)[0][0]
    assert (dilated[2] >= plain[2]).all() and dilated[2].sum() > plain[2].sum()


def test_slow_score_follows_the_contour():
    shrink_map = np.zeros((64, 96), np.float32)
    shrink_map[10:40, 10:20] = shrink_map[30:40, 10:80] = 0.8  # an L fills half of its box
    assert find_polygons(shrink_map, (64, 96), score_mode="fast")[0] == []
    found, scores = find_polygons(shrink_map, (64, 96), score_mode="slow")
    assert len(found) == 1 and scores[0] > 0.75


def test_poly_follows_a_curve():
    shrink_map = np.zeros((128, 128), np.float32)
    cv2.ellipse(shrink_map, (64, 100), (50, 60), 0, 200, 340, 1.0, 12)
    (polygon,), _ = find_polygons(shrink_map, (256, 256), box_type="poly")
    assert len(polygon) > 4
    drawn = cv2.fillPoly(np.zeros((256, 256), np.uint8), [polygon], 1)
    assert drawn[80, 128] == 1 and drawn[180, 128] == 0  # the arc, not what it spans
    assert find_polygons(shrink_map, (256, 256), box_type="poly", box_thresh=1.01)[0] == []
    tiny = np.zeros((32, 32), np.float32)
    tiny[5, 5] = 1
    assert find_polygons(tiny, (32, 32), box_type="poly")[0] == []
    tiny[5:8, 5:8] = 1
    assert find_polygons(tiny, (32, 32), box_type="poly", unclip_ratio=0.01)[0] == []


def test_mean_inside_equals_a_mask_over_the_whole_map():
    rng = np.random.default_rng(0)
    shrink_map = rng.random((80, 90)).astype(np.float32)
    for _ in range(50):
        quad = cv2.boxPoints(
            (tuple(rng.uniform(10, 70, 2)), tuple(rng.uniform(5, 40, 2)), rng.uniform(0, 90))
        )
        mask = np.zeros((80, 90), np.uint8)
        low = np.maximum(np.floor(quad.min(0)), 0)  # truncation is towards the window's corner
        cv2.fillPoly(mask, [((quad - low).astype(np.int32) + low.astype(np.int32))], 1)
        expected = shrink_map[mask > 0].mean()
        np.testing.assert_allclose(mean_inside(shrink_map, quad), expected, rtol=1e-5)


def test_corners_run_clockwise_from_the_upper_left():
    rng = np.random.default_rng(1)
    for _ in range(100):
        rectangle = (
            tuple(rng.uniform(50, 60, 2)),
            tuple(rng.uniform(5, 40, 2)),
            rng.uniform(0, 44),
        )
        quad, side = box_around(cv2.boxPoints(rectangle))
        assert side == pytest.approx(min(rectangle[1]), rel=1e-3)
        assert quad[0, 1] <= quad[3, 1] and quad[1, 1] <= quad[2, 1]
        assert cv2.contourArea(quad, oriented=True) > 0
        assert max(quad[0, 0], quad[3, 0]) <= min(quad[1, 0], quad[2, 0]) + 1e-3


def test_unclip_grows_by_area_over_perimeter():
    square = np.array([[10, 10], [50, 10], [50, 50], [10, 50]], np.float32)
    grown = unclip(square, 1.5)
    np.testing.assert_array_equal(grown.min(0), [-5, -5])  # 40 * 40 * 1.5 / 160 = 15
    np.testing.assert_array_equal(grown.max(0), [65, 65])
    assert unclip(np.zeros((4, 2), np.float32), 1.5) is None


def test_text_shrunk_as_a_target_grows_back():
    from ppocr_jax.data.targets import draw_shrink_map

    word = np.array([[40, 40], [160, 50], [157, 86], [37, 76]], np.float32)
    shrink_map, _, _ = draw_shrink_map([word], [False], 128, 200)
    (quad,), _ = find_polygons(shrink_map.astype(np.float32), (128, 200))
    area, _ = cv2.intersectConvexConvex(word, quad.astype(np.float32))
    assert area / (cv2.contourArea(word) + cv2.contourArea(quad) - area) > 0.8
