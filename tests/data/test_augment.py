"""Augmentation: the recorded geometry, and what must hold for any draw."""

import cv2
import numpy as np
import plain_augment
import pytest
from scipy import stats

from ppocr_jax.data import augment
from ppocr_jax.data.augment import Crop, Geometry
from ppocr_jax.data.labels import read_labels
from ppocr_jax.data.resize import read_image
from ppocr_jax.data.scenes import draw_scene

WORD = np.array([[20, 20], [80, 24], [79, 44], [19, 40]], np.float32)


def picture(height=60, width=100, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_geometry_matches_reference(recorded, cases):
    record, arrays = recorded("augment.json"), recorded("augment.npz")
    turned = [case for case in record["cases"] if "flip" in case]
    for case in cases(turned):
        geometry = Geometry(case["flip"], case["rotate_degrees"], case["scale"])
        polygons = list(arrays["polys"])
        image = plain_augment.apply_geometry(arrays["image"], geometry)
        polygons, sides = augment.move_polygons(polygons, *arrays["image"].shape[:2], geometry)
        assert sides == image.shape[:2]
        name = case["name"]
        assert list(image.shape) == list(case["out_shape"])
        np.testing.assert_array_equal(image, arrays[f"{name}/image"])
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
        moved, tags = augment.crop_polygons(polygons, [False] * len(polygons), crop, size)
        name = case["name"]
        np.testing.assert_array_equal(image, arrays[f"{name}/image"])
        kept = case["kept"] if isinstance(case["kept"], list) else numbers[: case["kept"]]
        assert len(moved) == len(kept) == len(tags)
        np.testing.assert_allclose(moved, arrays[f"{name}/polys"], atol=1e-3)


def test_draws_are_in_their_ranges_and_repeat():
    def draw(seed):
        rng = np.random.default_rng(seed)
        options = {"flip": 0.5, "rotate": (-10, 10), "scale": (0.5, 3)}
        return [augment.draw_geometry(rng, **options) for _ in range(2000)]

    assert draw(1) == draw(1) != draw(2)
    flips, angles, scales = map(np.array, zip(*draw(0), strict=True))
    assert abs(flips.mean() - 0.5) < 0.05
    assert -10 <= angles.min() < -9.9 and 9.9 < angles.max() <= 10 and abs(angles.mean()) < 0.5
    assert 0.5 <= scales.min() < 0.51 and 2.99 < scales.max() <= 3
    np.testing.assert_allclose(scales.mean(), 1.75, atol=0.06)


def whole(image, geometry):
    return Crop(0, 0, *augment.scaled(*image.shape[:2], geometry.scale)[::-1])


def test_pixels_and_points_move_together():
    image = np.zeros((80, 120, 3), np.uint8)
    cv2.circle(image, (70, 30), 3, (255, 255, 255), -1)
    point = np.array([[70, 30], [71, 30], [70, 31]], np.float32)
    for geometry in (
        Geometry(True, 0.0, 1.0),
        Geometry(False, 9.0, 1.0),
        Geometry(True, -7.0, 2.0),
    ):
        (polygon,), sides = augment.move_polygons([point], 80, 120, geometry)
        view = augment.draw_view(image, geometry, whole(image, geometry), sides[::-1])
        rows, columns = np.nonzero(view[:, :, 0] > 128)
        scale = geometry.scale
        np.testing.assert_allclose(polygon[0], [columns.mean(), rows.mean()], atol=0.6 * scale)


def test_nothing_changes_nothing():
    image, nothing = picture(), Geometry(False, 0.0, 1.0)
    (polygon,), sides = augment.move_polygons([WORD], 60, 100, nothing)
    np.testing.assert_array_equal(
        augment.draw_view(image, nothing, whole(image, nothing), (100, 60)), image
    )
    np.testing.assert_array_equal(polygon, WORD)
    assert sides == (60, 100)


def test_a_tiny_scale_leaves_a_pixel():
    tiny = Geometry(False, 0.0, 1e-6)
    assert augment.move_polygons([], 60, 100, tiny)[1] == (1, 1)
    assert augment.draw_view(picture(), tiny, Crop(0, 0, 1, 1), (8, 8)).shape == (8, 8, 3)


def views(images, count, side):
    """`(plain, ours, (width, height) of the content)` with drawn geometries and crops."""
    rng = np.random.default_rng(3)
    for index in range(count):
        image, polygons = images[index % len(images)]
        geometry = augment.draw_geometry(rng, flip=0.5, rotate=(-10, 10), scale=(0.5, 3))
        moved, sides = augment.move_polygons(polygons, *image.shape[:2], geometry)
        crop = augment.choose_crop(rng, moved, [False] * len(moved), *sides, tries=50, min_side=0.1)
        plain = plain_augment.apply_geometry(image, geometry)
        plain = plain_augment.apply_crop(plain, crop, (side, side))
        scale = min(side / crop.width, side / crop.height)
        content = max(1, int(crop.width * scale)), max(1, int(crop.height * scale))
        yield plain, augment.draw_view(image, geometry, crop, (side, side)), content


def compare_views(images, count, side):
    """Mean differences inside the content, grey levels; nothing may differ outside."""
    differences = []
    for plain, ours, (width, height) in views(images, count, side):
        assert not ours[height:].any() and not ours[:, width:].any()
        inside = slice(height), slice(width)
        differences.append(np.abs(plain[inside].astype(int) - ours[inside]).mean())
    return differences


def test_one_resampling_draws_what_four_draw():
    scenes = [draw_scene(5, "train", index, 448) for index in range(6)]
    images = [(image, [word.quad for word in words]) for image, words in scenes]
    smooth = [(cv2.GaussianBlur(image, (0, 0), 1.2), quads) for image, quads in images]
    differences = compare_views(smooth, 60, 320)
    assert max(differences) <= 2 and np.mean(differences) < 1, differences


def test_one_resampling_on_photographs(shared):
    folder = shared("data/icdar2015")
    samples = read_labels("train_icdar2015_label.txt", folder)[::100]
    images = [(read_image(sample.image_path), sample.polygons) for sample in samples]
    differences = compare_views(images, 40, 960)
    assert max(differences) <= 2, differences


def draw_sample(rng, polygons, ignore, height, width, side):
    """As `plain_augment.draw_sample`, by the functions of the program."""
    geometry = augment.draw_geometry(rng, flip=0.5, rotate=(-10, 10), scale=(0.5, 3))
    moved, (high, wide) = augment.move_polygons(polygons, height, width, geometry)
    x, y, w, h = augment.choose_crop(rng, moved, ignore, high, wide, tries=50, min_side=0.1)
    kept, _ = augment.crop_polygons(moved, ignore, Crop(x, y, w, h), (side, side))
    heights = [np.linalg.norm(polygon[0] - polygon[-1]) for polygon in kept]
    return dict(
        flip=float(geometry.flip), angle=geometry.angle, scale=geometry.scale, left=x / wide,
        top=y / high, across=w / wide, down=h / high, kept=len(kept),
        text=np.mean(heights) if heights else 0.0,
    )  # fmt: skip


def test_samples_are_distributed_as_those_of_the_plain_path():
    """Angle, scale, crop and text kept: means and whole distributions, each side with its seed."""
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
    return [
        augment.choose_crop(rng, polygons, ignore, height, width, **options) for _ in range(draws)
    ]


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


def test_crop_fits_the_canvas_and_drops_what_is_outside():
    image = picture(60, 100)
    far = WORD + np.float32([0, 500])
    crop, size = Crop(10, 10, 80, 40), (160, 160)
    canvas = augment.draw_view(image, Geometry(False, 0.0, 1.0), crop, size)
    polygons, tags = augment.crop_polygons([WORD, far], [True, False], crop, size)
    assert canvas.shape == (160, 160, 3) and not canvas[80:].any() and canvas[:80].any()
    assert tags == [True] and len(polygons) == 1
    np.testing.assert_allclose(polygons[0], (WORD - [10, 10]) * 2)


QUAD = np.array([[5, 5], [45, 5], [45, 17], [5, 17]], np.float32)


def test_pasted_words_are_labelled_and_touch_nothing():
    image, other = np.zeros((200, 300, 3), np.uint8), picture(60, 100, 1)
    donors = [QUAD + np.float32([0, 20 * row]) for row in range(2)] * 5
    pasted, polygons, ignore = augment.paste_words(
        np.random.default_rng(0), image, [WORD], [True], other, donors, [False] * 10, 0.5
    )
    assert len(polygons) > 2 and len(polygons) == len(ignore)
    assert ignore[0] is True and not any(ignore[1:])
    boxes = [np.array([*p.min(0), *p.max(0)]) for p in polygons]
    for i, one in enumerate(boxes):
        assert one[0] >= 0 and one[1] >= 0 and one[2] <= 300 and one[3] <= 200
        for two in boxes[i + 1 :]:
            assert one[2] < two[0] or two[2] < one[0] or one[3] < two[1] or two[3] < one[1]
    covered = np.zeros((200, 300), np.uint8)
    cv2.fillPoly(covered, [np.round(p).astype(np.int32) for p in polygons[1:]], 1)
    drawn = pasted.any(2)
    assert drawn.sum() > 200
    grown = cv2.dilate(covered, np.ones((5, 5), np.uint8)) > 0
    assert (drawn & ~grown).sum() == 0  # ink only inside its label
    assert not image.any()  # the original is left alone


def test_what_cannot_be_pasted_is_left_out():
    image, other = np.zeros((40, 40, 3), np.uint8), picture(60, 100, 1)
    flat = np.array([[5, 5], [45, 5], [45, 5], [5, 5]], np.float32)
    huge = np.array([[0, 0], [90, 0], [90, 50], [0, 50]], np.float32)
    donors, tags = [flat, huge, WORD[:3], QUAD], [False, False, False, True]
    same, polygons, _ = augment.paste_words(
        np.random.default_rng(0), image, [], [], other, donors, tags, 1.0
    )
    assert polygons == [] and not same.any()
    full = np.array([[0, 0], [40, 0], [40, 40], [0, 40]], np.float32)
    _, polygons, _ = augment.paste_words(
        np.random.default_rng(0), image, [full], [False], other, [QUAD * 0.5], [False], 1.0
    )
    assert len(polygons) == 1  # nowhere free


@pytest.mark.parametrize("angle", [0, 30, 90, 211])
def test_turned_words_fill_their_corners(angle):
    word = np.full((10, 30, 3), 200, np.uint8)
    turned, alpha, corners = augment.turn_word(word, angle)
    assert turned.shape[:2] == alpha.shape
    assert (corners.min(0) >= -1e-6).all()
    assert abs(alpha.sum() - 300) < 40
    assert (turned[alpha] == 200).all()


def test_tall_words_lie_down():
    tall = np.array([[10, 5], [20, 5], [20, 45], [10, 45]], np.float32)
    assert augment.straighten(picture(), tall).shape == (10, 40, 3)
    assert augment.straighten(picture(), QUAD).shape == (12, 40, 3)
