"""Drawing the crop at once gives what flip, rotation, scale and crop give one by one."""

import cv2
import numpy as np
import plain_augment

from ppocr_jax.data.drawing import draw_view
from ppocr_jax.data.geometry import (
    Crop,
    Geometry,
    choose_crop,
    crop_polygons,
    draw_geometry,
    move_polygons,
    scaled,
)
from ppocr_jax.data.labels import read_labels
from ppocr_jax.data.resize import read_image
from ppocr_jax.data.scenes import draw_scene

WORD = np.array([[20, 20], [80, 24], [79, 44], [19, 40]], np.float32)


def picture(height=60, width=100, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3)).astype(np.uint8)


def whole(image, geometry):
    return Crop(0, 0, *scaled(*image.shape[:2], geometry.scale)[::-1])


def test_pixels_and_points_move_together():
    image = np.zeros((80, 120, 3), np.uint8)
    cv2.circle(image, (70, 30), 3, (255, 255, 255), -1)
    point = np.array([[70, 30], [71, 30], [70, 31]], np.float32)
    for geometry in (
        Geometry(True, 0.0, 1.0),
        Geometry(False, 9.0, 1.0),
        Geometry(True, -7.0, 2.0),
    ):
        (polygon,), sides = move_polygons([point], 80, 120, geometry)
        view = draw_view(image, geometry, whole(image, geometry), sides[::-1])
        rows, columns = np.nonzero(view[:, :, 0] > 128)
        scale = geometry.scale
        np.testing.assert_allclose(polygon[0], [columns.mean(), rows.mean()], atol=0.6 * scale)


def test_nothing_changes_nothing():
    image, nothing = picture(), Geometry(False, 0.0, 1.0)
    (polygon,), sides = move_polygons([WORD], 60, 100, nothing)
    np.testing.assert_array_equal(
        draw_view(image, nothing, whole(image, nothing), (100, 60)), image
    )
    np.testing.assert_array_equal(polygon, WORD)
    assert sides == (60, 100)


def test_a_tiny_scale_leaves_a_pixel():
    tiny = Geometry(False, 0.0, 1e-6)
    assert move_polygons([], 60, 100, tiny)[1] == (1, 1)
    assert draw_view(picture(), tiny, Crop(0, 0, 1, 1), (8, 8)).shape == (8, 8, 3)


def views(images, count, side):
    """`(plain, ours, (width, height) of the content)` for random geometries and crops."""
    rng = np.random.default_rng(3)
    for index in range(count):
        image, polygons = images[index % len(images)]
        geometry = draw_geometry(rng, flip=0.5, rotate=(-10, 10), scale=(0.5, 3))
        moved, sides = move_polygons(polygons, *image.shape[:2], geometry)
        crop = choose_crop(rng, moved, [False] * len(moved), *sides, tries=50, min_side=0.1)
        plain = plain_augment.apply_geometry(image, geometry)
        plain = plain_augment.apply_crop(plain, crop, (side, side))
        scale = min(side / crop.width, side / crop.height)
        content = max(1, int(crop.width * scale)), max(1, int(crop.height * scale))
        yield plain, draw_view(image, geometry, crop, (side, side)), content


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


def test_crop_fits_the_canvas_and_drops_what_is_outside():
    image = picture(60, 100)
    far = WORD + np.float32([0, 500])
    crop, size = Crop(10, 10, 80, 40), (160, 160)
    canvas = draw_view(image, Geometry(False, 0.0, 1.0), crop, size)
    polygons, tags = crop_polygons([WORD, far], [True, False], crop, size)
    assert canvas.shape == (160, 160, 3) and not canvas[80:].any() and canvas[:80].any()
    assert tags == [True] and len(polygons) == 1
    np.testing.assert_allclose(polygons[0], (WORD - [10, 10]) * 2)
