"""Reading images, and the network's input size in evaluation."""

import cv2
import numpy as np
import pytest

from ppocr_jax.data import resize
from ppocr_jax.errors import UserError
from ppocr_jax.models import pixels


def planned(height, width, mode):
    """The size for the arguments of a recorded mode."""
    names = {"limit_side_len": "limit_side", "limit_type": "limit_type"}
    return resize.plan_resize(height, width, **{names[k]: v for k, v in mode.items()})


def test_sizes_match_reference(recorded, cases):
    expected = recorded("resize.json")
    for row in cases(expected["rows"]):
        height, width = row["h"], row["w"]
        if height + width < 64:  # the original pads it before it plans
            height, width = max(32, height), max(32, width)
        for name, mode in expected["modes"].items():
            if "image_shape" in mode or "resize_long" in mode:
                continue  # rules that no config can ask for
            size = planned(height, width, mode)
            assert size == (row[name]["h"], row[name]["w"]), (row["h"], row["w"], name)
            ratios = [size[0] / height, size[1] / width]
            np.testing.assert_allclose(row[name]["shape"], [row["h"], row["w"], *ratios])


def test_normalise_matches_reference(recorded):
    expected = recorded("normalise.npz")
    actual = pixels.normalise(expected["bgr"]).transpose(2, 0, 1)
    np.testing.assert_allclose(actual, expected["normalised"], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "limits", "expected"),
    [
        ((720, 1280), {}, (736, 1312)),
        ((720, 1280), {"limit_side": 960, "limit_type": "max"}, (544, 960)),
        ((1000, 1000), {}, (992, 992)),  # "min" does not reduce: 1000 / 32 = 31.25
        ((100, 50), {"limit_side": 64, "limit_type": "resize_long"}, (64, 32)),
        ((10, 2000), {"limit_side": 64, "limit_type": "max"}, (32, 64)),
    ],
)
def test_plan(size, limits, expected):
    assert resize.plan_resize(*size, **limits) == expected


def test_unknown_limit_is_refused():
    with pytest.raises(UserError, match="choose one of min, max, resize_long"):
        resize.plan_resize(5, 5, limit_type="both")


def test_an_image_of_the_size_is_left_alone():
    image = np.zeros((40, 30, 3), np.uint8)
    assert resize.resize_image(image, 40, 30) is image
    assert resize.resize_image(image, 64, 32).shape == (64, 32, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".webp"])
def test_formats(tmp_path, suffix):
    image = np.full((20, 30, 3), (10, 200, 90), np.uint8)
    path = tmp_path / f"gr\u00fcn{suffix}"
    path.write_bytes(cv2.imencode(suffix, image)[1].tobytes())
    np.testing.assert_allclose(resize.read_image(path).astype(int), image.astype(int), atol=6)


def test_grey_and_alpha_become_bgr(tmp_path):
    grey, alpha = np.full((8, 9), 77, np.uint8), np.full((8, 9, 4), 50, np.uint8)
    for index, image in enumerate((grey, alpha)):
        path = tmp_path / f"{index}.png"
        path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
        assert resize.read_image(path).shape == (8, 9, 3)


def jpeg():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    return cv2.imencode(".jpg", noise)[1].tobytes()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"no image at all", "not an image"),
        (jpeg()[:2000], "cut short"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "damaged"),
        # A header that claims 60000 x 60000 pixels.
        (b"BM" + (54).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
         + (40).to_bytes(4, "little") + (60000).to_bytes(4, "little") * 2
         + (1).to_bytes(2, "little") + (24).to_bytes(2, "little") + bytes(24), "60000x60000"),
    ],
)  # fmt: skip
def test_what_is_no_image_is_named(tmp_path, content, reason):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"a.jpg: .*{reason}"):
        resize.read_image(path)


def test_missing_and_oversized(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="No such file"):
        resize.read_image(tmp_path / "a.jpg")
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg())
    monkeypatch.setattr(resize, "MAX_PIXELS", 1000)
    with pytest.raises(UserError, match="64x64 pixels are too many"):
        resize.read_image(path)


def make_jpeg(progressive=False, thumbnail=False):
    """The bytes of a JPEG of 64 x 48, optionally with a thumbnail in a segment before the image."""
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive), cv2.IMWRITE_JPEG_RST_INTERVAL, 2]
    data = cv2.imencode(".jpg", image, options)[1].tobytes()
    if not thumbnail:
        return data
    small = cv2.imencode(".jpg", image[:8, :8])[1].tobytes()
    return data[:2] + b"\xff\xe1" + (len(small) + 2).to_bytes(2, "big") + small + data[2:]


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("thumbnail", [False, True])
def test_a_jpeg_is_cut_short_where_its_picture_is(tmp_path, progressive, thumbnail):
    data = make_jpeg(progressive, thumbnail)
    path = tmp_path / "photo.jpg"
    for behind in (b"", b"\0" * 10_000, b"ftypmp42" * 2_000, make_jpeg()):
        path.write_bytes(data + behind)
        assert resize.read_image(path).shape == (48, 64, 3)
    for share in (0.5, 0.9, 0.99):
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(UserError, match="cut short"):
            resize.read_image(path)
    path.write_bytes(data[:-2])  # only the end marker is missing: nothing says that all is there
    with pytest.raises(UserError, match="cut short"):
        resize.read_image(path)


@pytest.mark.parametrize(
    ("size", "limits", "expected"),
    [
        ((720, 1280), {}, (736, 1312)),
        ((3000, 4000), {}, (3008, 4000)),  # a phone's and a camera's photo stay as they are
        ((4000, 6000), {}, (4000, 6016)),
        ((368, 2400), {}, (736, 4800)),
        ((1000, 1000), {"limit_side": 2400}, (2400, 2400)),  # asked for
        ((13000, 13000), {"limit_side": 960, "limit_type": "max"}, (960, 960)),
    ],
)
def test_ordinary_pictures_keep_their_planned_size(size, limits, expected):
    assert resize.plan_size(*size, **limits) == resize.plan_resize(*size, **limits) == expected


@pytest.mark.parametrize("size", [(12, 1600), (1, 20_000), (1, 1_000_000), (60, 3000), (5, 5000),
                                  (13_000, 13_000), (300, 60_000), (1, 1)])  # fmt: skip
@pytest.mark.parametrize("limits", [{}, {"limit_side": 4000, "limit_type": "resize_long"},
                                    {"limit_side": 8000}])  # fmt: skip
def test_planned_sizes_are_bounded(size, limits):
    for height, width in (size, size[::-1]):
        planned = resize.plan_size(height, width, **limits)
        assert all(side % 32 == 0 and side >= 32 for side in planned)
        own = 1.05 * height * width
        most = resize.MOST_PIXELS if limits else max(resize.ENLARGED_PIXELS, own)
        assert planned[0] * planned[1] <= min(most, resize.MOST_PIXELS)
        wanted = resize.plan_resize(height, width, **limits)
        assert (planned[0] < planned[1]) == (wanted[0] < wanted[1])
        if min(planned) > 160:  # the shape is kept where it can be
            assert planned[1] / planned[0] == pytest.approx(width / height, rel=0.2)


def test_large_pictures_are_worked_on_one_at_a_time(tmp_path, monkeypatch):
    import concurrent.futures
    import time

    monkeypatch.setattr(resize, "LARGE", 1000)
    path, inside, most = tmp_path / "a.png", [], []
    cv2.imwrite(str(path), np.zeros((40, 30, 3), np.uint8))

    def look(image):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.01)
        inside.pop()
        return image.shape

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        shapes = list(pool.map(lambda _: resize.read_image(path, look), range(8)))
    assert shapes == [(40, 30, 3)] * 8 and max(most) == 1


def test_too_little_memory_is_that_pictures(tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.zeros((40, 30, 3), np.uint8))

    def fail(image):
        raise MemoryError

    def fail_in_opencv(image):
        cv2.resize(image, (2**30, 2**30))

    for then in (fail, fail_in_opencv):
        with pytest.raises(UserError, match="a.png: not enough memory for this image"):
            resize.read_image(path, then)
