"""Exported files: what they hold, that they are checked, and that other tools find the same."""

import ast
import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
import shapely
from onnx import numpy_helper
from onnx_files.test_onnx import random_variables
from rapidocr import RapidOCR
from tiny import TINY, draw_data, load_config, write_config

from configs import parts
from ppocr_jax import evaluate, export
from ppocr_jax.data.resize import read_image, resize_image
from ppocr_jax.data.scenes import draw_scene
from ppocr_jax.detection.network import open_network
from ppocr_jax.detection.postprocess import find_polygons
from ppocr_jax.errors import UserError
from ppocr_jax.models.detector import describe
from ppocr_jax.onnx_files.reader import read_onnx
from ppocr_jax.onnx_files.session import open_session
from ppocr_jax.onnx_files.writer import build_onnx
from ppocr_jax.shipping import exporting
from ppocr_jax.shipping.deployment import Form, rapidocr_parameters
from ppocr_jax.shipping.parity import choose_images, compare
from ppocr_jax.weights.paddle import paddle_prefix, to_paddle
from ppocr_jax.weights.pdparams import read_pdparams, write_pdparams

THRESHOLDS = (
    "postprocess.thresh=0.5",
    "postprocess.box_thresh=0.4",
    "postprocess.unclip_ratio=1.2",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with `student.pdparams`, a tree of two of them, drawn data and its config."""
    folder = tmp_path_factory.mktemp("export")
    path = write_config(folder, draw_data(folder / "data"), ("student", "student2"))
    tree = {}
    for seed, role in enumerate(("student", "student2")):
        arrays = to_paddle(random_variables(TINY, seed))
        tree |= {paddle_prefix(role) + name: value for name, value in arrays.items()}
        write_pdparams(folder / f"{role}.pdparams", arrays)
    write_pdparams(folder / "tree.pdparams", tree)
    return folder, path


def command(place, *options, weights="student.pdparams"):
    """Runs `export` over the config with thresholds that find boxes in any map."""
    folder, path = place
    argv = ["--config", str(path), "--weights", str(folder / weights), *map(str, options)]
    return export.main([*argv, *(f"--config.{text}" for text in THRESHOLDS)])


@pytest.fixture(scope="module")
def exported(place):
    """`(record, printed)` of `student.onnx` in the folder."""
    with pytest.MonkeyPatch.context() as patch:
        printed = []
        patch.setattr("builtins.print", lambda text, **_: printed.extend(str(text).split("\n")))
        assert command(place, "--output", place[0] / "student.onnx") == 0
    return json.loads((place[0] / "student.onnx.json").read_text()), printed


def test_an_export_proves_itself_and_says_how_to_use_it(place, exported):
    record, printed = exported
    figures = record["parity"]["student"]
    assert figures["passed"] and figures["map_difference"] <= 1e-5
    assert figures["boxes"] == figures["boxes_identical"] > 20
    sizes = [row["size"] for row in figures["images"]]
    assert sizes == [[96, 96], [64, 64], [32, 32]]
    assert "val_0.png" in figures["images"][0]["image"]
    assert "the 3 validation images with most words: maps differ by at most" in printed[0]
    assert record["postprocess"]["box_thresh"] == 0.4
    assert record["resize"] == {
        "limit_side": 96,
        "limit_type": "min",
        "multiple": 32,
        "interpolation": "bilinear, as cv2.INTER_LINEAR",
    }
    assert record["normalisation"]["mean"] == [0.485, 0.456, 0.406]
    assert record["config"]["roles"]["student"]["neck"]["channels"] == 16
    assert len(record["weights"]["hash"]) == 12 and len(record["sha256"]) == 64
    assert record["sha256"] == exporting.file_hash(place[0] / "student.onnx")
    stored = {
        prop.key: json.loads(prop.value)
        for prop in onnx.load(str(place[0] / "student.onnx")).metadata_props
    }
    beside = {key: record[key] for key in record if key not in ("parity", "bytes", "sha256")}
    assert len(stored.pop("checksum")) == 64
    assert stored == beside
    assert not list(place[0].glob("*.tmp"))
    assert any("--det_db_box_thresh=0.4 --det_db_unclip_ratio=1.2" in line for line in printed)


def test_the_file_itself_is_evaluated(place, exported, capsys):
    """Without a config its own metadata serves; the numbers are those of the checkpoint."""
    folder, path = place
    root = f"--config.data.root={load_config(path).data.root}"  # the file does not say where
    assert evaluate.main(["--weights", str(folder / "student.onnx"), root]) == 0
    out, err = capsys.readouterr()
    assert "onnxruntime" in err and "student.pdparams" in err
    overrides = [f"--config.{text}" for text in THRESHOLDS]
    argv = ["--weights", str(folder / "student.pdparams"), "--config", str(path), *overrides]
    assert evaluate.main(argv) == 0
    ours, theirs = json.loads(out), json.loads(capsys.readouterr().out)
    for key in ("precision", "recall", "hmean", "boxes_found", "boxes_matched"):
        assert ours[key] == theirs[key], key
    assert ours["boxes_found"] > 3


def break_a_weight(build):
    def broken(*args, **kwargs):
        model = build(*args, **kwargs)
        [tensor] = [
            t for t in model.graph.initializer if t.name == "neck.inp_conv.0.in_conv.weight"
        ]
        value = numpy_helper.to_array(tensor).copy()
        value[0] *= 1.01
        tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
        return model

    return broken


def test_a_file_that_draws_other_maps_fails(place, monkeypatch):
    """One percent on a twenty-fourth of one layer is found."""
    folder, _ = place
    monkeypatch.setattr(exporting, "build_onnx", break_a_weight(exporting.build_onnx))
    with pytest.raises(UserError, match=r"something else; it is now .*bad\.onnx\.failed"):
        command(place, "--output", folder / "bad.onnx")
    assert (folder / "bad.onnx.failed").exists()
    assert not (folder / "bad.onnx").exists() and not (folder / "bad.onnx.json").exists()


def test_what_counts_as_different(place):
    """Two boxes of few, or a NaN, fail; one box may hang on a pixel at the threshold."""
    config = load_config(place[1])
    flat = np.zeros((1, 96, 96), np.float32)
    flat[0, 10:20, 10:60] = flat[0, 40:50, 10:60] = flat[0, 70:80, 10:60] = 0.9
    images = [("drawn", np.zeros((96, 96, 3), np.uint8))]

    def judge(other, tolerance):
        args = (images, config, tolerance, (96, 96))
        return compare(lambda _: flat, lambda _: other, *args)

    assert judge(flat, 0.0)["passed"] and judge(flat, 0.0)["boxes"] == 9
    nudged = flat.copy()
    nudged[0, 0, 0] = 1e-3
    assert not judge(nudged, 1e-4)["passed"] and judge(nudged, 1e-2)["passed"]
    lost = flat.copy()
    lost[0, 10:20] = 0
    figures = judge(lost, 1.0)
    assert not figures["passed"] and figures["boxes_other"] == 3
    assert not judge(np.full_like(flat, np.nan), 1.0)["passed"]


def test_where_images_come_from(place, tmp_path):
    folder, path = place
    images, what = choose_images(load_config(path), [str(folder / "data")])
    assert len(images) == 12 and what == "12 given images"
    images, what = choose_images(load_config(path, f"data.root={tmp_path}"), [])
    assert what == "3 synthetic scenes" and images[0][1].shape == (96, 96, 3)
    with pytest.raises(UserError, match="no image"):
        choose_images(load_config(path), [str(tmp_path)])


def test_other_forms(place):
    folder, _ = place
    command(place, "--output", folder / "raw.onnx", "--include-normalisation", "--opset", 17)
    record = json.loads((folder / "raw.onnx.json").read_text())
    assert record["normalisation"]["included"] and record["parity"]["student"]["passed"]
    assert onnx.load(str(folder / "raw.onnx")).opset_import[0].version == 17
    command(place, "--output", folder / "fixed.onnx", "--fixed-shape", "64x96")
    assert open_session(folder / "fixed.onnx").get_inputs()[0].shape == [1, 3, 64, 96]
    record = json.loads((folder / "fixed.onnx.json").read_text())
    assert record["notes"] == [
        "RapidOCR resizes every image by its own rule: it needs a file of free size"
    ]
    command(place, "--output", folder / "kept.onnx", "--keep-batch-norm")
    assert any(
        n.op_type == "BatchNormalization" for n in onnx.load(str(folder / "kept.onnx")).graph.node
    )


def test_the_whole_tree_for_paddleocr(place):
    folder, _ = place
    command(place, "--output", folder / "again.pdparams", "--role", "all", weights="tree.pdparams")
    tree, again = (read_pdparams(str(folder / f"{n}.pdparams")) for n in ("tree", "again"))
    assert list(again) == list(tree)
    assert all(again[name].tobytes() == tree[name].tobytes() for name in tree)
    record = json.loads((folder / "again.pdparams.json").read_text())
    assert set(record["parity"]) == {"student", "student2"}
    assert all(figures["map_difference"] == 0 for figures in record["parity"].values())
    keys = record["paddleocr"]["keys"]
    assert keys["Global.pretrained_model"] == str(folder / "again")
    assert keys["PostProcess.box_thresh"] == 0.4


LOADER = """
import sys
import jax, numpy as np
data = np.load(sys.argv[2])
exported = jax.export.deserialize(bytearray(open(sys.argv[1], "rb").read()))
off = [np.abs(exported.call(data[f"image{i}"]) - data[f"map{i}"]).max() for i in range(3)]
assert not any(name.startswith("ppocr_jax") for name in sys.modules)
print(*off)
"""


def test_stablehlo_needs_nothing_of_ours(place, tmp_path):
    folder, path = place
    command(place, "--output", folder / "student.stablehlo")
    record = json.loads((folder / "student.stablehlo.json").read_text())
    assert record["input"]["shape"] == ["N", "H", "W", 3] and record["input"]["dtype"] == "uint8"
    assert record["parity"]["student"]["map_difference"] <= 1e-6
    network = open_network(load_config(path), str(folder / "student.pdparams"), "student")
    rng, data = np.random.default_rng(3), {}
    for index, size in enumerate(((1, 96, 96), (1, 64, 64), (2, 32, 64))):
        image = rng.integers(0, 256, (*size, 3), np.uint8)
        data[f"image{index}"] = image
        data[f"map{index}"] = network.predict(network.variables, image)
    np.savez(tmp_path / "data.npz", **data)
    argv = [sys.executable, "-c", LOADER, folder / "student.stablehlo", tmp_path / "data.npz"]
    done = subprocess.run(list(map(str, argv)), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert max(map(float, done.stdout.split())) <= 1e-5


def test_eight_bits_and_what_they_cost(place, capsys):
    folder, _ = place
    command(place, "--output", folder / "int8.onnx", "--quantize")
    record = json.loads((folder / "int8.onnx.json").read_text())
    assert record["int8"]["calibration_images"] == 10 and record["int8"]["images"] == 3
    loss = record["int8"]["hmean_float"] - record["int8"]["hmean"]
    assert record["int8"]["loss"] == loss
    assert f"8 bits: hmean {record['int8']['hmean']:.4f}" in capsys.readouterr().out
    ops = [node.op_type for node in onnx.load(str(folder / "int8.onnx")).graph.node]
    assert ops.count("QuantizeLinear") > 5
    assert record["sha256"] == exporting.file_hash(folder / "int8.onnx")
    image = read_image(folder / "data" / "val_0.png")[None]
    maps = [
        open_network(None, folder / f"{name}.onnx", "student").predict(None, image)
        for name in ("int8", "student")
    ]
    assert 0 < np.abs(maps[0] - maps[1]).mean() < 0.1
    assert (folder / "int8.onnx").stat().st_size < (folder / "student.onnx").stat().st_size


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "student.pb"], "should end in .onnx, .stablehlo, .pdparams"),
        (
            ["--output", "a.pdparams", "--opset", "14"],
            "--opset: does not apply to a .pdparams",
        ),
        (["--output", "a.stablehlo", "--quantize"], "--quantize: does not apply to"),
        (["--output", "a.pdparams", "--fixed-shape", "32x32"], "--fixed-shape: does not apply"),
        (["--output", "a.onnx", "--role", "all"], "only .pdparams holds all"),
        (["--output", "a.onnx", "--role", "teacher"], "the config has student, student2, and all"),
        (["--output", "a.onnx", "--fixed-shape", "736x1300"], "HEIGHTxWIDTH in multiples of 32"),
        (["--output", "a.onnx", "--opset", "12"], "choose one from 13 to 17"),
        (["--output", "a.onnx", "--quantize", "--keep-batch-norm"], "needs batch norm folded"),
    ],
)
def test_mistakes_are_named(place, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        command(place, *options)
    assert not list(tmp_path.iterdir())


def overlap(polygon, other):
    """Intersection over union of two quads."""
    pair = shapely.polygons([polygon, other])
    return shapely.area(shapely.intersection(*pair)) / shapely.area(shapely.union(*pair))


def assert_same_boxes(ours, theirs, size):
    """Each box of either side has one of the other at IoU 0.98; RapidOCR drops those of 3 pixels
    and ends boxes at the last pixel."""
    limit = np.array([size[1] - 1, size[0] - 1])
    ours = [np.minimum(polygon, limit) for polygon in ours]
    sides = [np.linalg.norm(p - np.roll(p, 1, 0), axis=1).min() for p in ours]
    ours = [polygon for polygon, side in zip(ours, sides, strict=True) if int(side) > 3]
    assert len(ours) == len(theirs) > 0
    left = [np.asarray(box) for box in theirs]
    for polygon in ours:
        overlaps = [overlap(polygon, box) for box in left]
        best = int(np.argmax(overlaps))
        assert overlaps[best] >= 0.98
        left.pop(best)


def in_rapidocr(lines):
    """RapidOCR as the printed line makes it."""
    [line] = [line for line in lines if line.startswith("RapidOCR(params=")]
    params = ast.literal_eval(line.removeprefix("RapidOCR(params=").removesuffix(")"))
    return RapidOCR(params={**params, "Global.log_level": "error"})


def test_rapidocr_finds_the_same_boxes(place, exported):
    folder, path = place
    config, engine = load_config(path, *THRESHOLDS), in_rapidocr(exported[1])
    network = open_network(config, folder / "student.onnx", "student")
    for index in range(3):
        image = draw_scene(5, "val", index, 128)[0]
        shrink_map = network.predict(None, image[None])[0]
        ours, _ = find_polygons(shrink_map, image.shape[:2], **config.postprocess.to_dict())
        result = engine(image, use_det=True, use_cls=False, use_rec=False)
        assert_same_boxes(ours, result.boxes, image.shape[:2])


def test_the_published_student_in_rapidocr(shared, tmp_path):
    """Published weights, an odd image size, raw pixels: a real detector in the real tool."""
    variables = read_onnx(shared("weights/ch_PP-OCRv3_det_infer.onnx"), describe)
    network, config = parts.small(), parts.base(epochs=1)
    config.eval.limit_side = 320
    form = Form(".onnx", include_normalisation=True)
    model = build_onnx(
        network,
        variables,
        include_normalisation=True,
        metadata=exporting.describe(config, "student", form, "published", "", "student.onnx"),
    )
    onnx.save(model, tmp_path / "student.onnx")
    params, notes = rapidocr_parameters(config, form, tmp_path / "student.onnx")
    assert notes == [] and params["Det.mean"] == [0.0, 0.0, 0.0]
    engine = RapidOCR(params={**params, "Global.log_level": "error"})
    predict = open_network(config, tmp_path / "student.onnx", "student").predict
    image = draw_scene(1, "val", 4, 330)[0]
    shrink_map = predict(None, resize_image(image, 320, 320)[None])[0]
    ours, _ = find_polygons(shrink_map, (330, 330), **config.postprocess.to_dict())
    result = engine(image, use_det=True, use_cls=False, use_rec=False)
    assert_same_boxes(ours, result.boxes, (330, 330))
