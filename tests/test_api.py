"""The detector of Python programs finds what `predict` finds, for whatever it is given."""

import concurrent.futures
import copy
import inspect
import json
import pathlib
import textwrap
import threading

import cv2
import jax
import numpy as np
import pytest
from onnx_files.test_onnx import random_variables
from tiny import TINY, draw_data, load_config, write_config

from ppocr_jax import Box, Detector, predict
from ppocr_jax.detection import shapes
from ppocr_jax.detection.network import Network
from ppocr_jax.onnx_files import door
from ppocr_jax.onnx_files.writer import build_onnx
from ppocr_jax.shipping.extraction import write_folder
from ppocr_jax.training.checkpoints import Checkpoints
from ppocr_jax.training.state import TrainState
from ppocr_jax.weights import fetch
from ppocr_jax.weights.paddle import to_paddle
from ppocr_jax.weights.pdparams import write_pdparams

# A network that has learned nothing is sure of little; here it finds dozens of boxes.
LOW = ("postprocess.thresh=0.5", "postprocess.box_thresh=0.4", "postprocess.unclip_ratio=1.2")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with one network in all forms, and pictures."""
    folder = tmp_path_factory.mktemp("place")
    draw_data(folder / "data", train=1, val=3)
    path = write_config(folder, folder / "data")
    config = json.loads(load_config(path, *LOW).to_json())
    variables = random_variables(TINY)
    parts = variables["params"], variables["batch_stats"]
    state = TrainState(jax.numpy.asarray(4), *({"student": part} for part in parts), ())
    meta = {"step": 4, "evaluated_step": 4, "roles": ["student"], "config": config,
            "metrics": {"student": {"hmean": 0.5}}}  # fmt: skip
    with Checkpoints(folder / "run") as checkpoints:
        checkpoints.save(state, meta, 0.5)
        checkpoints.wait()
    write_folder(folder / "extracted", variables, {"role": "student", "roles": ["student"],
                                                   "config": config})  # fmt: skip
    write_pdparams(str(folder / "student.pdparams"), to_paddle(variables))
    model = build_onnx(TINY, variables, metadata={"config": config, "role": "student"})
    (folder / "student.onnx").write_bytes(door.seal(model))
    return folder


@pytest.fixture(scope="module")
def detector(place):
    return Detector.load(place / "extracted")


@pytest.fixture(scope="module")
def images(place):
    return [cv2.imread(str(place / "data" / f"val_{i}.png")) for i in range(3)]


def plain(boxes):
    """Polygons and scores of an image, of a kind that compares."""
    return [(box.polygon.tolist(), box.score) for box in boxes]


def polygons(boxes):
    return [box.polygon.tolist() for box in boxes]


@pytest.fixture(scope="module")
def predicted(place, tmp_path_factory):
    """`{path: boxes}` that the command finds."""
    out = tmp_path_factory.mktemp("out")
    argv = ["--weights", str(place / "run"), "--images", str(place / "data"), "--output", str(out)]
    assert predict.main([*argv, "--no_pictures"]) == 0
    records = map(json.loads, (out / "predictions.jsonl").read_text().splitlines())
    return {record["path"]: record["boxes"] for record in records}


WITHOUT_CONFIG = {"bin_thresh": 0.5, "box_thresh": 0.4, "unclip_ratio": 1.2}


@pytest.mark.parametrize("weights", ["run", "student.onnx", "student.pdparams"])
def test_boxes_are_those_of_predict(place, images, predicted, weights):
    options, path = {}, str(place / weights)
    if weights == "student.pdparams":
        options = {**WITHOUT_CONFIG, "config": place / "configs_for_test" / "tiny_run.py"}
    detector = Detector.load(path, **options)
    found = dict(zip(predicted, detector(list(predicted)), strict=True))
    for name, boxes in predicted.items():
        assert polygons(found[name]) == [box["points"] for box in boxes] != []
        scores = [box["score"] for box in boxes]
        np.testing.assert_allclose([box.score for box in found[name]], scores, atol=1e-5)
    assert plain(detector(images[0])) == plain(found[str(place / "data" / "val_0.png")])
    assert detector.role == "student" and f"student from {path}: " in detector.report


@pytest.mark.parametrize("weights", ["run/latest", "run/4", "extracted", "published"])
def test_other_places_give_the_same_network(place, detector, weights, monkeypatch):
    """Compared without running it, which compiles."""
    options, path = {}, place / weights
    if weights == "published":
        options = {**WITHOUT_CONFIG, "config": place / "configs_for_test" / "tiny_run.py"}
        path = "en_PP-OCRv3_det_distill_train"
        monkeypatch.setattr(fetch, "fetch", lambda name: str(place / "student.pdparams"))
    other = Detector.load(path, **options)
    jax.tree.map(np.testing.assert_array_equal, *(d._network.variables for d in (detector, other)))
    assert (other._post, other._limits) == (detector._post, detector._limits)


def test_what_comes_back(detector, images, place):
    boxes = detector(images[0])
    assert all(isinstance(box, Box) and isinstance(box.score, float) for box in boxes)
    assert all(box.polygon.dtype == np.float32 and box.polygon.shape == (4, 2) for box in boxes)
    assert detector([]) == [] == detector(())
    path = place / "data" / "val_1.png"
    many = detector([images[0], str(path), path, images[0][..., 0]])
    assert list(map(plain, many)) == [
        plain(boxes), *[plain(detector(images[1]))] * 2, plain(detector(images[0][..., 0]))
    ]  # fmt: skip
    assert plain(detector(images[0][..., ::-1], channels="rgb")) == plain(boxes)
    other = copy.copy(detector)  # shares what is compiled
    other._post = {**detector._post, "box_thresh": 1.0}
    assert other(images[0]) == [] and other([images[0]] * 2) == [[], []]
    other._post = Detector.load(place / "extracted", box_type="poly")._post
    assert max(len(box.polygon) for box in other(images[0])) > 4


def test_what_is_refused(detector, images, tmp_path):
    with pytest.raises(TypeError, match="^image should be uint8 or uint16, but is float64"):
        detector(images[0] / 255)
    with pytest.raises(ValueError, match="^image is empty: 5x0 pixels"):
        detector(np.zeros((0, 5, 3), np.uint8))
    with pytest.raises(TypeError, match=r"^images\[1\] should be a NumPy array, .* type list"):
        detector([images[0], [images[0]]])
    with pytest.raises(ValueError, match="gone.png: No such file"):
        detector([images[0], tmp_path / "gone.png"])
    with pytest.raises(ValueError, match="channels='RGB': should be bgr or rgb"):
        detector(images[0], channels="RGB")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"treshold": 0.5}, TypeError, "unknown option treshold; did you mean box_thresh"),
        ({"box_thresh": "a"}, TypeError, "box_thresh='a': should be of type float"),
        ({"box_thresh": 60}, ValueError, "^box_thresh=60.0: should be from 0 to 1"),
        ({"bin_thresh": -0.1}, ValueError, "^bin_thresh=-0.1: should be from 0 to 1"),
        ({"dtype": "float16"}, ValueError, "^dtype=float16: should be .*overflows"),
        ({"precision": "half"}, ValueError, "^precision=half: should be float32 or tf32"),
        ({"device": "gpu:7"}, ValueError, "^device=gpu:7: there is no such device, but cpu:0"),
        ({"device": "cpu:-1"}, ValueError, "^device=cpu:-1: there is no such device, but cpu:0"),
        ({"role": "teacher"}, ValueError, "role='teacher': the config has student"),
    ],
)
def test_options_that_are_refused(place, options, error, message):
    with pytest.raises(error, match=message):
        Detector.load(place / "extracted", **options)


def test_weights_that_are_refused(place, tmp_path):
    for path, options, message in (
        (tmp_path / "gone.onnx", {}, "gone.onnx: No such file"),
        ("gs://bucket/run", {}, "path=gs://bucket/run: only local paths work"),
        (place / "student.onnx", {"device": "gpu"}, "device=gpu: an ONNX file runs on the CPU"),
        (place / "student.onnx", {"dtype": np.float64}, "dtype=float64: an ONNX file runs in"),
        (place / "student.onnx", {"precision": "tf32"}, "precision=tf32: an ONNX file runs in"),
    ):
        with pytest.raises(ValueError, match=message):
            Detector.load(path, **options)


def test_device_and_number_type(place, detector, images):
    narrow = Detector.load(place / "extracted", dtype=jax.numpy.bfloat16, device="cpu")
    there = Detector.load(place / "extracted", device=jax.devices()[0], box_thresh=np.float32(0.25))
    assert (
        there._network.sharding.device_set == {jax.devices()[0]}
        and there._post["box_thresh"] == 0.25
    )
    assert plain(narrow(images[0])) != plain(detector(images[0]))


def test_sizes_share_programs_in_threads_too(place):
    """Sixty sizes, eight threads at once: few programs, each made once, and the boxes of each."""
    config, traced = load_config(place / "configs_for_test" / "tiny_run.py", *LOW), []

    @jax.jit
    def predict(variables, image, area=None):  # a network that compiles at once
        traced.append((image.shape, area is not None))
        return image[..., 1].astype(np.float32) / 255

    network, limits = Network(predict, None, None, ""), (config.eval.limit_side, "min")
    detector = Detector(network, config, "student", "", shapes.Few(*limits))
    exact = Detector(network, config, "student", "", shapes.Multiples(0))
    rng, start = np.random.default_rng(3), threading.Barrier(8)
    pixels = rng.integers(0, 256, (60, 7, 7, 3)).astype(np.uint8)
    sizes = rng.integers(40, 400, (60, 2)).tolist()
    images = [cv2.resize(p, size, interpolation=cv2.INTER_CUBIC)
              for p, size in zip(pixels, sizes, strict=True)]  # fmt: skip

    def find(part):
        start.wait()
        return [plain(detector(image)) for image in part]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(find, (images[first::8] for first in range(8))))
    used = [((1, shape.height, shape.width, 3), shape.shared) for shape in detector._shapes.used()]
    assert sorted(traced) == sorted(used) and len(traced) <= 8  # none of them twice
    found = [parts[i % 8][i // 8] for i in range(60)]
    assert found == list(map(plain, detector(images))) and len(traced) == len(used)
    assert found == [plain(exact(image)) for image in images] and len(traced) > 30
    assert all(found)


def test_the_example_of_the_docstring_runs(place, monkeypatch, capsys):
    example = inspect.getdoc(Detector).partition("\n\n")[2].partition("A detector may")[0]
    monkeypatch.chdir(place)
    (place / "runs").mkdir()
    (place / "runs" / "mine").symlink_to(place / "run")
    for name in ("photo.jpg", "a.jpg", "b.png"):
        (place / name).symlink_to(place / "data" / "val_0.png")
    names = {}
    exec(textwrap.dedent(example), names)
    *found, first, second = capsys.readouterr().out.splitlines()
    assert len(found) == len(names["boxes"]) > 3
    assert (first, second) == (f"a.jpg {len(found)}", f"b.png {len(found)}")


@pytest.mark.long
def test_genuine_weights_find_what_predict_finds(shared, tmp_path):
    """Twenty photos and the published student, in its two forms."""
    folder = shared("data/icdar2015/ch4_test_images")
    paths = sorted(map(str, pathlib.Path(folder).glob("*.jpg")))[:20]
    weights = [shared("weights/ch_PP-OCRv3_det_student.pdparams"),
               shared("weights/ch_PP-OCRv3_det_infer.onnx")]  # fmt: skip
    for number, file in enumerate(weights):
        output = tmp_path / str(number)
        argv = ["--weights", str(file), "--output", str(output), "--no_pictures", "--images"]
        assert predict.main([*argv, *paths]) == 0
        lines = (output / "predictions.jsonl").read_text().splitlines()
        expected = [[box["points"] for box in json.loads(line)["boxes"]] for line in lines]
        assert list(map(polygons, Detector.load(file)(paths))) == expected
        assert sum(map(len, expected)) > 80
