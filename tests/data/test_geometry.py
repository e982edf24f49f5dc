"""Geometry and crops: the recorded ones, and properties of any random draw."""

import cv2
import numpy as np
import plain_augment
from scipy import stats

from ppocr_jax.data.geometry import (
    Crop,
    Geometry,
    choose_crop,
    crop_polygons,
    draw_geometry,
    move_polygons,
)
from ppocr_jax.data.scenes import draw_scene

OFF = (0, 0.0) if cv2.__version__ >= "5" else (4, 0.06)  # levels of 255; share of the values
WORD = np.array([[20, 20], [80, 24], [79, 44], [19, 40]], np.float32)


def test_geometry_matches_reference(recorded, cases):
    record, arrays = recorded("augment.json"), recorded("augment.npz")
    turned = [case for case in record["cases"] if "flip" in case]
    for case in cases(turned):
        geometry = Geometry(case["flip"], case["rotate_degrees"], case["scale"])
        polygons = list(arrays["polys"])
        image = plain_augment.apply_geometry(arrays["image"], geometry)
        polygons, sides = move_polygons(polygons, *arrays["image"].shape[:2], geometry)
        assert sides == image.shape[:2]
        name = case["name"]
        assert list(image.shape) == list(case["out_shape"])
        off = cv2.absdiff(image, arrays[f"{name}/image"])
        # OpenCV 5 made the record; 4.11 to 4.14 place pixels more coarsely when they turn an image.
        assert off.max() <= OFF[0] and (off > 0).mean() <= OFF[1], name
        np.testing.assert_allclose(polygons, arrays[f"{name}/polys"], atol=1e-3)


def test_crops_match_reference(recorded, cases):
    record, arrays = recorded("augment.json"), recorded("augment.npz")
    source, polygons = arrays["image"], list(arrays["polys"])
    for case in cases([case for case in record["cases"] if "flip" not in case]):
        height, width = source.shape[:2]
        crop = Crop(*case.get("rectangle_x_y_w_h", (0, 0, width, height)))
        numbers = list(range(len(polygons)))
        size = tuple(case["size_w_h"])
        image = plain_augment.apply_crop(source, crop, size)
        moved, tags = crop_polygons(polygons, [False] * len(polygons), crop, size)
        name = case["name"]
        np.testing.assert_array_equal(image, arrays[f"{name}/image"])
        kept = case["kept"] if isinstance(case["kept"], list) else numbers[: case["kept"]]
        assert len(moved) == len(kept) == len(tags)
        np.testing.assert_allclose(moved, arrays[f"{name}/polys"], atol=1e-3)


def test_draws_are_in_their_ranges_and_repeat():
    def draw(seed):
        rng = np.random.default_rng(seed)
        options = {"flip": 0.5, "rotate": (-10, 10), "scale": (0.5, 3)}
        return [draw_geometry(rng, **options) for _ in range(2000)]

    assert draw(1) == draw(1) != draw(2)
    flips, angles, scales = map(np.array, zip(*draw(0), strict=True))
    assert abs(flips.mean() - 0.5) < 0.05
    assert -10 <= angles.min() < -9.9 and 9.9 < angles.max() <= 10 and abs(angles.mean()) < 0.5
    assert 0.5 <= scales.min() < 0.51 and 2.99 < scales.max() <= 3
    np.testing.assert_allclose(scales.mean(), 1.75, atol=0.06)


def draw_sample(rng, polygons, ignore, height, width, side):
    """The same as `plain_augment.draw_sample`, with the functions under test."""
    geometry = draw_geometry(rng, flip=0.5, rotate=(-10, 10), scale=(0.5, 3))
    moved, (high, wide) = move_polygons(polygons, height, width, geometry)
    x, y, w, h = choose_crop(rng, moved, ignore, high, wide, tries=50, min_side=0.1)
    kept, _ = crop_polygons(moved, ignore, Crop(x, y, w, h), (side, side))
    heights = [np.linalg.norm(polygon[0] - polygon[-1]) for polygon in kept]
    return dict(
        flip=float(geometry.flip), angle=geometry.angle, scale=geometry.scale, left=x / wide,
        top=y / high, across=w / wide, down=h / high, kept=len(kept),
        text=np.mean(heights) if heights else 0.0,
    )  # fmt: skip


def test_samples_are_distributed_as_those_of_the_plain_path():
    """Angle, scale, crop and remaining text: means and distributions, with independent seeds."""
    scenes = [draw_scene(5, "train", index, 320) for index in range(12)]
    labels = [([word.quad for word in words], [False] * len(words)) for _, words in scenes]
    labels[0] = (labels[0][0], [True] + labels[0][1][1:])
    drawn = []
    for draw, seed in ((draw_sample, 1), (plain_augment.draw_sample, 2)):
        rng = np.random.default_rng(seed)
        drawn.append([draw(rng, *labels[i % len(labels)], 320, 320, 160) for i in range(1200)])
    for key in drawn[0][0]:
        ours, plain = ([sample[key] for sample in side] for side in drawn)
        assert stats.ks_2samp(ours, plain).pvalue > 0.01, key
        assert stats.ttest_ind(ours, plain, equal_var=False).pvalue > 0.01, key


def crops(polygons, ignore, height=200, width=300, draws=200, **options):
    options = {"tries": 50, "min_side": 0.1, **options}
    rng = np.random.default_rng(0)
    return [choose_crop(rng, polygons, ignore, height, width, **options) for _ in range(draws)]


def test_crops_without_a_word():
    word = np.array([[10, 10], [290, 10], [290, 190], [10, 190]], np.float32)
    assert set(crops([word], [True])) == {Crop(0, 0, 300, 200)} == set(crops([], []))
    drawn = crops([word], [True], wordless="random")
    assert len(set(drawn)) == len(drawn)
    for x, y, width, height in drawn:
        assert width >= 30 and height >= 20 and x + width <= 300 and y + height <= 200
    assert crops([word], [False], wordless="random") == crops([word], [False])


def test_crops_keep_words_whole_and_have_one():
    words = [WORD, WORD + np.float32([150, 100]), WORD + np.float32([20, 120])]
    found = crops(words, [False] * 3)
    assert len(set(found)) > 50
    with_word = 0
    for crop in found:
        whole = 0
        for word in words:
            (left, top), (right, bottom) = word.min(0), word.max(0)
            inside = left >= crop.x and right <= crop.x + crop.width
            inside &= top >= crop.y and bottom <= crop.y + crop.height
            apart = right <= crop.x or left >= crop.x + crop.width
            apart |= bottom <= crop.y or top >= crop.y + crop.height
            assert inside or apart, (crop, word)
            whole += bool(inside)
        assert crop.width >= 30 and crop.height >= 20
        with_word += whole > 0
    assert with_word > 0.9 * len(found)  # a word that only touches the edge counts as inside


def test_ignored_words_may_be_cut_and_none_means_the_whole_image():
    whole = Crop(0, 0, 300, 200)
    assert set(crops([WORD], [True], draws=3)) == {whole}
    assert set(crops([], [], draws=3)) == {whole}
    covering = np.array([[0, 0], [300, 0], [300, 200], [0, 200]], np.float32)
    assert set(crops([covering], [False], draws=3)) == {whole}
    assert set(crops([WORD], [False], draws=3, min_side=2.0)) == {whole}  # nothing is large enough
    cut = WORD + np.float32([60, 60])
    ignored = np.array([[0, 150], [300, 150], [300, 170], [0, 170]], np.float32)
    assert any(c.y + c.height in range(151, 170) for c in crops([cut, ignored], [False, True]))
