"""What fails is one picture's, and memory is bounded whatever pictures come."""

import cv2
import numpy as np
import pytest
from tiny import load_config, write_config

from ppocr_jax.data import resize
from ppocr_jax.detection import inference, tiles
from ppocr_jax.detection.inference import Predicted, Prepared, predict_files, run_batches
from ppocr_jax.errors import UserError


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    folder = tmp_path_factory.mktemp("options")
    path = write_config(folder, folder)
    return lambda *overrides: load_config(path, "eval.limit_side=32", *overrides)


def brightness(variables, image, area=None):
    """A network that looks at single pixels: the mean of their channels, 0 to 1."""
    return np.asarray(image).mean(-1, dtype=np.float32) / np.float32(255)


def failing(error, level):
    """As `brightness`, but a batch with an image of this grey level raises `error`."""

    def predict(variables, image, area=None):
        if (np.asarray(image)[:, 0, 0, 0] == level).any():
            raise error
        return brightness(variables, image)

    return predict


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Seven images of one size; number i has the grey level 10 i."""
    folder = tmp_path_factory.mktemp("pictures")
    for index in range(7):
        cv2.imwrite(str(folder / f"{index}.png"), np.full((64, 64, 3), 10 * index, np.uint8))
    return [(index, str(folder / f"{index}.png")) for index in range(7)]


def outcomes(found):
    """`{key: reason, or the grey level of the map}`."""
    found = list(found)
    maps = {item.key: item.shrink_map for item in found if item.shrink_map is not None}
    levels = {key: round(float(level[0, 0]) * 255) for key, level in maps.items()}
    return levels | {item.key: item.reason for item in found if item.shrink_map is None}


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 32 GB\nmore"), "not enough"),
        (MemoryError(), "not enough memory for this image"),
        (ValueError("odd\nshape"), "ValueError: odd"),
        (UserError("net.onnx: made for 5x5 pixels"), "net.onnx: made for 5x5 pixels"),
    ],
)
def test_an_image_that_fails_in_the_network_leaves_the_others(options, files, error, words, tiled):
    config, predict = options("eval.batch_size=4"), failing(error, 30)
    if tiled:
        found = tiles.predict_tiled(predict, None, files, config, tiles.Tiling(64, 32))
    else:
        found = predict_files(predict, None, files, config.eval)
    found = outcomes(found)
    reason = found.pop(3)
    assert reason.startswith(files[3][1] + ": ") and words in reason and "\n" not in reason
    assert found == {index: 10 * index for index in (0, 1, 2, 4, 5, 6)}


def test_windows_of_one_page_fail_it_once(options, tmp_path):
    image = np.full((64, 200, 3), 50, np.uint8)
    image[:, 100:] = 90
    cv2.imwrite(str(tmp_path / "page.png"), image)
    cv2.imwrite(str(tmp_path / "good.png"), np.full((64, 200, 3), 20, np.uint8))
    given = [(0, str(tmp_path / "page.png")), (1, str(tmp_path / "good.png")), (2, "gone.png")]
    for level in (50, 90):
        found = list(tiles.predict_tiled(
            failing(ValueError("odd"), level), None, given, options(), tiles.Tiling(64, 32)
        ))  # fmt: skip
        assert sorted(item.key for item in found) == [0, 1, 2]
        reasons = {item.key: item.reason for item in found}
        assert "page.png: ValueError: odd" in reasons[0] and not reasons[1]
        assert "gone.png: No such file" in reasons[2]


def test_a_network_that_takes_no_image_says_so_itself(options, files):
    def refuse(variables, image, area=None):
        raise UserError("net.onnx: made for another size")

    with pytest.raises(UserError, match="^net.onnx: made for another size"):
        list(predict_files(refuse, None, files, options().eval))


def test_errors_that_come_late_are_caught_too(options, files):
    class Late:
        """Maps that a device has not finished: the error comes when they are asked for."""

        def __array__(self, *_, **__):
            raise RuntimeError("out of memory")

    found = list(predict_files(lambda *_: Late(), None, files, options().eval))
    assert len(found) == 7 and all("not enough memory" in item.reason for item in found)


def test_batches_hold_few_large_images(options):
    seen = []

    def predict(variables, image, area=None):
        seen.append(image.shape)
        return np.zeros(image.shape[:3], np.float32)

    sizes = [(32, 156_224), (736, 1312), (1088, 1920), (3008, 4000)]
    for multiple in (0, 256):
        seen.clear()
        config = options("eval.batch_size=4", f"eval.shared_shapes={multiple}").eval
        items = [
            Prepared((size, i), np.zeros((*size, 3), np.uint8), size, "x.png")
            for size in sizes for i in range(3 if size[0] == 32 else 1)
        ]  # fmt: skip
        assert len(list(run_batches(predict, None, items, config))) == 6
        pixels = [shape[0] * shape[1] * shape[2] for shape in seen]
        largest = 3072 * 4096 if multiple else 3008 * 4000
        assert max(pixels) == largest and sorted(pixels)[-2] <= 4 * inference.PASS_PIXELS
        assert [shape[0] for shape in seen if shape[1] in (736, 768)] == [4]  # as without limits


def test_few_large_images_wait(options, monkeypatch):
    monkeypatch.setattr(inference, "WAITING_PIXELS", 100_000)
    waiting, most = 0, 0

    def come():
        nonlocal waiting, most
        for index in range(40):
            waiting += 1
            most = max(most, waiting)
            size = (64 + 32 * (index % 20), 160)
            yield Prepared(index, np.zeros((*size, 3), np.uint8), size, "x.png")

    for _ in run_batches(brightness, None, come(), options("eval.batch_size=8").eval):
        waiting -= 1
    assert waiting == 0 and most < 8


def test_large_files_are_read_when_their_turn_comes(options, files, monkeypatch):
    monkeypatch.setattr(inference, "LARGE", 1000)
    read, plain = [], inference.read_image
    monkeypatch.setattr(inference, "read_image", lambda p, then: read.append(p) or plain(p, then))
    config = options("eval.batch_size=1").eval
    found = predict_files(brightness, None, files, config)
    first = next(found)
    assert first.key == 0 and len(read) <= 3
    assert outcomes([first, *found]) == {index: 10 * index for index in range(7)}


def test_work_in_threads_stays_in_order_and_is_bounded(monkeypatch):
    import concurrent.futures
    import threading

    monkeypatch.setattr(inference, "WAITING_PIXELS", 50)
    go, asked = threading.Event(), []

    def come():
        for index in range(30):
            asked.append(index)
            yield Predicted(index, np.zeros((5, 5), np.float32), (5, 5))

    def work(item):
        go.wait(5)
        return item.key

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = inference.in_threads(pool, work, come(), most=20)
        threading.Timer(0.1, go.set).start()
        assert next(found) == (0, 0) and len(asked) == 3  # the third is one too many to wait
        assert list(found) == [(index, index) for index in range(1, 30)]


def test_a_thin_picture_is_seen_within_the_limit(options, tmp_path):
    cv2.imwrite(str(tmp_path / "line.png"), np.full((2, 9000, 3), 77, np.uint8))
    config = options("eval.limit_side=736").eval
    [item] = predict_files(brightness, None, [(0, str(tmp_path / "line.png"))], config)
    assert item.shrink_map.size <= resize.ENLARGED_PIXELS and item.size == (2, 9000)
    assert item.shrink_map.shape == resize.plan_size(2, 9000)
