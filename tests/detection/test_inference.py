"""Batches of any sizes give each image its own map, and nothing is left out."""

import cv2
import numpy as np
import pytest
from tiny import load_config, make_network, write_config

from ppocr_jax.detection.inference import predict_files
from ppocr_jax.detection.network import make_predict
from ppocr_jax.detection.postprocess import find_polygons
from ppocr_jax.errors import UserError

SIZES = [(40, 60), (64, 64), (90, 33), (33, 90), (128, 50), (50, 128), (70, 70), (96, 120),
         (120, 96), (31, 31), (100, 40), (77, 111), (111, 77), (64, 64), (128, 120)]  # fmt: skip


@pytest.fixture(scope="module")
def network():
    return make_network()


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    folder = tmp_path_factory.mktemp("options")
    path = write_config(folder, folder)
    return lambda *overrides: load_config(path, "eval.limit_side=32", *overrides)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(2)
    files = []
    for index, (height, width) in enumerate(SIZES):
        image = cv2.resize(
            rng.integers(0, 256, (9, 9, 3)).astype(np.uint8), (width, height),
            interpolation=cv2.INTER_CUBIC,
        )  # fmt: skip
        cv2.imwrite(str(folder / f"{index}.png"), image)
        files.append((index, str(folder / f"{index}.png")))
    return files


def maps_of(network, files, config):
    """`({key: map}, programs compiled)`."""
    predict = make_predict(network[0])
    found = predict_files(predict, network[1], files, config.eval)
    return {item.key: item.shrink_map for item in found}, predict._cache_size()


def test_batches_of_mixed_sizes_equal_each_image_alone(network, pictures, options):
    alone = {}
    predict = make_predict(network[0])
    for file in pictures:
        config = options("eval.batch_size=1")
        for item in predict_files(predict, network[1], [file], config.eval):
            alone[item.key] = item.shrink_map
    together, exact_programs = maps_of(network, pictures, options("eval.batch_size=4"))
    shared, shared_programs = maps_of(
        network, pictures, options("eval.batch_size=4", "eval.shared_shapes=128")
    )
    shapes = {shrink_map.shape for shrink_map in alone.values()}
    assert len(shapes) >= 12 and exact_programs == len(shapes) and shared_programs == 1
    post = options().postprocess.to_dict() | {"box_thresh": 0.3}
    boxes = 0
    for key, expected in alone.items():
        np.testing.assert_allclose(together[key], expected, atol=1e-5)
        np.testing.assert_allclose(shared[key], expected, atol=1e-5)
        polygons = [find_polygons(m[key], SIZES[key], **post)[0]
                    for m in (alone, together, shared)]  # fmt: skip
        boxes += len(polygons[0])
        assert [p.tolist() for p in polygons[0]] == [p.tolist() for p in polygons[1]]
        assert [p.tolist() for p in polygons[0]] == [p.tolist() for p in polygons[2]]
    assert boxes > 0


def test_many_sizes_do_not_pile_up(network, pictures, options):
    config = options("eval.batch_size=1")
    keys = [item.key for item in predict_files(
        make_predict(network[0]), network[1], pictures * 2, config.eval, threads=1)]  # fmt: skip
    assert sorted(keys) == sorted([key for key, _ in pictures] * 2)


def test_a_map_that_is_not_finite_is_no_result(pictures, options):
    """One such map is that picture's failure; nothing but such maps is the network's."""
    calls = []

    def predict(broken, image, area=None):
        calls.append(len(calls))
        return np.full(image.shape[:3], np.nan if calls[-1] in broken else 0.0, np.float32)

    config = options("eval.batch_size=1")
    found = list(predict_files(predict, [1], pictures[:4], config.eval))
    assert sorted("not finite" in item.reason for item in found) == [False, False, False, True]
    with pytest.raises(UserError, match="not finite: its weights are damaged, or overflow"):
        list(predict_files(predict, range(99), pictures[:4], config.eval))
