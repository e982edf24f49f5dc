"""Tiles: windows cover a page exactly, seams do not show, small text on a large page is found."""

import cv2
import numpy as np
import pytest
from tiny import ROOT, load_config, write_config

from ppocr_jax.data import scene_parts
from ppocr_jax.detection import tiles
from ppocr_jax.detection.inference import predict_files
from ppocr_jax.detection.network import open_network
from ppocr_jax.detection.postprocess import find_polygons
from ppocr_jax.errors import UserError
from ppocr_jax.pages.predictions import predict_images

TILING = tiles.Tiling(128, 64)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("options")
    return load_config(write_config(folder, folder), "eval.batch_size=3")


def write_image(path, image):
    cv2.imwrite(str(path), image)
    return str(path)


def brightness(variables, image, area=None):
    """A network that looks at single pixels: the mean of their channels, 0 to 1."""
    return np.asarray(image).mean(-1, dtype=np.float32) / np.float32(255)


def blind_at_the_edge(variables, image, area=None, blind=12):
    """As `brightness`, but what lies near an edge of its picture is not seen."""
    maps = brightness(variables, image)
    seen = np.zeros_like(maps)
    seen[:, blind:-blind, blind:-blind] = maps[:, blind:-blind, blind:-blind]
    return seen


def stitched(predict, files, config, tiling=TILING):
    found = tiles.predict_tiled(predict, None, files, config, tiling)
    return {item.key: item for item in found}


@pytest.mark.parametrize("overlap", [0, 32, 64, 96])
@pytest.mark.parametrize("length", [32, 128, 160, 224, 256, 1024, 1056])
def test_windows_cover_a_side_and_their_weights_add_up_to_one(length, overlap):
    tiling = tiles.make_tiling(128, overlap)
    side = min(length, tiling.side)
    starts = tiles.window_starts(length, tiling)
    assert starts[0] == 0 and starts[-1] == length - side
    assert all(start % 32 == 0 for start in starts)
    steps = np.diff(starts)
    assert (steps > 0).all() and (steps <= tiling.side - overlap).all()
    total = np.zeros(length, np.float64)
    for start, weights in zip(starts, tiles.blend_weights(length, starts, side), strict=True):
        assert (weights > 0).all()
        total[start : start + side] += weights
    np.testing.assert_allclose(total, 1.0, rtol=1e-6)


def test_weights_hand_over_evenly_and_not_at_the_border_of_the_page():
    weights = tiles.blend_weights(192, [0, 64], 128)  # the windows share pixels 64 to 127
    np.testing.assert_allclose(weights[0][:64], 1.0)
    np.testing.assert_allclose(weights[0][64:], 1 - (np.arange(64) + 0.5) / 64, atol=1e-6)
    np.testing.assert_allclose(weights[1], weights[0][::-1], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((100,), "--tile 100"),
        ((32,), "--tile 32"),
        ((128, 128), "--overlap 128"),
        ((128, 40), "--overlap 40"),
        ((128, -32), "--overlap -32"),
        ((128, 32, 0.0), "--scale 0"),
    ],
)
def test_values_that_do_not_fit(arguments, message):
    with pytest.raises(UserError, match=message):
        tiles.make_tiling(*arguments)


def test_default_overlap():
    assert tiles.make_tiling(960) == (960, 224, 1.0) and tiles.make_tiling(64).overlap == 0


def test_pages_of_any_size_are_put_together_again(config, tmp_path):
    rng = np.random.default_rng(0)
    sizes = [(416, 320), (128, 480), (96, 64), (300, 290), (500, 40)]
    images = [rng.integers(0, 256, (*size, 3)).astype(np.uint8) for size in sizes]
    files = [(i, write_image(tmp_path / f"{i}.png", x)) for i, x in enumerate(images)]
    files.insert(2, ("gone", str(tmp_path / "gone.png")))
    found = stitched(brightness, files, config)
    assert found["gone"].shrink_map is None and "gone.png" in found["gone"].reason
    for index, image in enumerate(images):
        height, width = (round(side / 32) * 32 for side in sizes[index])
        expected = brightness(None, cv2.resize(image, (width, height)))
        assert found[index].size == sizes[index]
        np.testing.assert_allclose(found[index].shrink_map, expected, atol=1e-6)


def test_scale(config, tmp_path):
    file = (0, write_image(tmp_path / "a.png", np.full((200, 300, 3), 255, np.uint8)))
    found = stitched(brightness, [file], config, tiles.Tiling(128, 32, 2.0))[0]
    assert found.shrink_map.shape == (384, 608) and found.size == (200, 300)
    np.testing.assert_allclose(found.shrink_map, 1.0, atol=1e-6)
    too_large = stitched(brightness, [file], config, tiles.Tiling(128, 32, 1e4))[0]
    assert too_large.shrink_map is None and "too many" in too_large.reason


def test_an_image_that_fits_one_window_gets_its_plain_map(tmp_path):
    config = load_config(
        write_config(tmp_path, tmp_path), "eval.batch_size=1", "eval.limit_type=max",
        "eval.limit_side=128",
    )  # fmt: skip
    image = np.random.default_rng(1).integers(0, 256, (100, 120, 3)).astype(np.uint8)
    files = [(0, write_image(tmp_path / "a.png", image))]
    shapes = []

    def predict(variables, images, area=None):  # every pixel depends on the whole picture
        shapes.append(images.shape)
        return (brightness(variables, images) * np.asarray(images).std()).astype(np.float32)

    plain = next(predict_files(predict, None, files, config.eval))
    tiled = next(tiles.predict_tiled(predict, None, files, config, TILING))
    assert shapes == [(1, 96, 128, 3)] * 2
    np.testing.assert_array_equal(tiled.shrink_map, plain.shrink_map)
    assert tiled.size == plain.size == (100, 120)


def test_what_a_window_does_not_see_at_its_edge_hardly_shows(config, tmp_path):
    rng = np.random.default_rng(2)
    image = cv2.resize(rng.integers(0, 256, (20, 20, 3)).astype(np.uint8), (416, 416))

    def blur(variables, images, area=None):
        maps = brightness(variables, images)
        return np.array([cv2.blur(m, (17, 17), borderType=cv2.BORDER_CONSTANT) for m in maps])

    found = stitched(blur, [(0, write_image(tmp_path / "a.png", image))], config)[0].shrink_map
    whole = blur(None, image[None])[0]
    seams = np.abs(found - whole)
    cut = [start for start in tiles.window_starts(416, TILING) if start]
    ends = [start + 128 for start in tiles.window_starts(416, TILING) if start + 128 < 416]
    lines = np.array([*cut, *ends])
    far = np.abs(np.arange(416)[:, None] - lines[None]).min(1) > 8  # from every edge of a window
    np.testing.assert_allclose(found[np.ix_(far, far)], whole[np.ix_(far, far)], atol=1e-6)
    # At an edge itself a window's map is half of what it should be, and has no weight.
    assert 0 < seams.max() < 0.05


def test_a_line_across_seams_gives_one_box(config, tmp_path):
    page = np.zeros((320, 640, 3), np.uint8)
    cv2.rectangle(page, (40, 150), (600, 170), (255, 255, 255), -1)
    file = (0, write_image(tmp_path / "page.png", page))
    item = stitched(blind_at_the_edge, [file], config)[0]
    polygons, scores = find_polygons(item.shrink_map, item.size)
    assert len(polygons) == 1 and scores[0] > 0.8
    low, high = polygons[0].min(0), polygons[0].max(0)
    whole, _ = find_polygons(brightness(None, page), item.size)
    np.testing.assert_allclose([low, high], [whole[0].min(0), whole[0].max(0)], atol=2)
    # Without an overlap the same windows cut the line, so the blend is what holds it together.
    item = stitched(blind_at_the_edge, [file], config, tiles.Tiling(128, 0))[0]
    assert len(find_polygons(item.shrink_map, item.size)[0]) > 3


def blind_to_large(variables, image, area=None):
    """As `brightness`, without bright areas that a square of 41 pixels fits into."""
    square = np.ones((41, 41), np.uint8)
    large = [cv2.morphologyEx(m, cv2.MORPH_OPEN, square) for m in brightness(variables, image)]
    return brightness(variables, image) - np.array(large)


def test_what_is_too_large_for_a_window_is_taken_from_the_whole_page(config, tmp_path):
    page = np.zeros((640, 640, 3), np.uint8)
    cv2.rectangle(page, (100, 100), (499, 259), (255, 255, 255), -1)  # 80 x 32 when reduced
    cv2.rectangle(page, (100, 400), (300, 420), (255, 255, 255), -1)
    cv2.rectangle(page, (100, 440), (300, 449), (255, 255, 255), -1)  # 2 when reduced
    item = stitched(blind_to_large, [(0, write_image(tmp_path / "page.png", page))], config)[0]
    polygons, _ = find_polygons(item.shrink_map, item.size, unclip_ratio=0.0)
    found = sorted(cv2.boundingRect(polygon) for polygon in polygons)
    expected = sorted([(100, 440, 201, 10), (100, 400, 201, 21), (100, 100, 400, 160)])
    np.testing.assert_allclose(found, expected, atol=5)
    # The map of what the windows saw is theirs still.
    np.testing.assert_array_equal(item.shrink_map[395:450], brightness(None, page)[395:450])


def test_only_what_was_hardly_seen_is_filled_in():
    def maps(*boxes, side, value=0.9):
        shrink_map = np.zeros((side, side), np.float32)
        for x, y, width, height in boxes:
            shrink_map[y : y + height, x : x + width] = value
        return shrink_map

    whole = maps((10, 10, 60, 20), (10, 60, 60, 20), side=128)
    # Of the first nothing was seen; of the second five lines, which fill nearly half of it.
    lines = [(40, 232 + 20 * line, 240, 8) for line in range(5)]
    tiled = maps(*lines, side=512)
    expected = tiled.copy()
    tiles.fill_in(tiled, whole, {"thresh": 0.3, "box_thresh": 0.6, "max_candidates": 1000})
    np.testing.assert_array_equal(tiled[200:], expected[200:])
    assert (tiled[44:116, 44:276] == np.float32(0.9)).all() and (tiled[:20] == 0).all()
    assert len(find_polygons(tiled, (512, 512))[0]) == 6


def draw_page(height=3000, width=4000):
    """A page with lines of words 260 down to 11 pixels high: `(image, list of (x, y, w, h))`."""
    rng = np.random.default_rng(0)
    page = np.full((height, width), 244, np.uint8)
    words, y = [], 60
    heights = [260, 180, 120, 80, 48, 32, 24, 18, 14]
    while y < height - 100:
        size = heights.pop(0) if heights else 11
        x = 60
        while True:
            text = scene_parts.draw_word(rng, "val")
            ink = scene_parts.render_word(text, "DejaVuSans", 48)
            ink = cv2.resize(ink, (ink.shape[1] * size // ink.shape[0], size), None, 0, 0,
                             cv2.INTER_AREA)  # fmt: skip
            if x + ink.shape[1] > width - 60:
                break
            page[y : y + size, x : x + ink.shape[1]] -= (ink * 0.9).astype(np.uint8)
            words.append((x, y, ink.shape[1], size))
            x += ink.shape[1] + max(60, 3 * size)
        y += max(60, 2 * size)
    return cv2.cvtColor(page, cv2.COLOR_GRAY2BGR), words


def overlaps(box, others):
    """Area shared with each of several upright boxes (x, y, w, h), over the smaller area."""
    others = np.array(others, float).reshape(-1, 4)
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(np.add(box[:2], box[2:]), others[:, :2] + others[:, 2:])
    shared = np.maximum(high - low, 0).prod(1)
    return shared / np.minimum(others[:, 2] * others[:, 3], box[2] * box[3])


def test_a_large_page(shared, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    weights = shared("weights/ch_PP-OCRv3_det_student.pdparams")
    config = load_config("configs/ppocrv3_det_mobile.py", "eval.limit_type=max",
                         "eval.limit_side=960", "eval.batch_size=2")  # fmt: skip
    network = open_network(config, str(weights), "student")
    image, words = draw_page()
    path = write_image(tmp_path / "page.png", image)
    untiled, tiled = (
        [cv2.boundingRect(polygon) for polygon in next(result).polygons]
        for result in (
            predict_images(network, [path], config),
            predict_images(network, [path], config, tiles.make_tiling(960)),
        )
    )
    small = [word for word in words if word[3] <= 14]
    found = {
        name: [overlaps(word, boxes).max() > 0.7 for word in small]
        for name, boxes in (("untiled", untiled), ("tiled", tiled))
    }
    assert len(untiled) >= 15 and all(overlaps(box, tiled).max() > 0.7 for box in untiled)
    doubled = [max(overlaps(box, tiled[:index])) > 0.3 for index, box in enumerate(tiled) if index]
    assert not any(doubled)
    large = [word for word in words if word[3] > 14]
    assert all(overlaps(word, tiled).max() > 0.7 for word in large)
    assert np.mean(found["tiled"]) > 0.95 and np.mean(found["untiled"]) < 0.05
