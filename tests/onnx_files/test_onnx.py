"""ONNX: the graph against the network, the way back to weights, and files at work."""

import functools

import jax
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from tiny import TEACHER, TINY

from configs import parts
from ppocr_jax.detection.network import make_predict, open_network
from ppocr_jax.errors import UserError
from ppocr_jax.models.detector import build_detector, describe, init_variables
from ppocr_jax.models.pixels import normalise
from ppocr_jax.onnx_files.reader import read_onnx
from ppocr_jax.onnx_files.session import make_onnx_predict, open_session
from ppocr_jax.onnx_files.writer import build_onnx
from ppocr_jax.shipping import extraction
from ppocr_jax.weights import sources
from ppocr_jax.weights.paddle import to_paddle
from ppocr_jax.weights.pdparams import read_pdparams

WIDE = dict(
    backbone=dict(name="ResNetVD", depths=(1, 2, 1, 1), width=8),
    neck=dict(name="LKPAN", channels=16, mode="large"),
    head=dict(name="DBHead", kernels=(7, 2, 2), k=50.0),
)
GATED = {
    **TINY,
    "backbone": {**TINY["backbone"], "squeeze_excite": True},
    "neck": dict(name="RSEFPN", channels=16, shortcut=False),
}
NETWORKS = {
    "mobile": TINY,
    "gates, no shortcut": GATED,
    "plain pyramid": {**TINY, "neck": dict(name="DBFPN", channels=16)},
    "resnet, large": WIDE,
    "resnet, lite": TEACHER,
}
OLD_OPS = (
    "Conv ConvTranspose HardSigmoid Mul Relu Add GlobalAveragePool MaxPool AveragePool Resize "
    "Concat Sigmoid Sub Div BatchNormalization"
).split()


def random_variables(network, seed=0):
    """Variables whose batch norms do something, and whose maps are neither flat nor saturated."""
    model = build_detector(network)
    template = jax.eval_shape(lambda: init_variables(model, jax.random.key(0)))
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        kind = path[-1].key
        if kind == "kernel":
            return rng.normal(0, (1.5 / np.prod(leaf.shape[:3])) ** 0.5, leaf.shape)
        low, high = (0.5, 1.5) if kind in ("scale", "var") else (-0.3, 0.3)
        return rng.uniform(low, high, leaf.shape)

    drawn = jax.tree_util.tree_map_with_path(draw, template)
    return jax.tree.map(np.float32, drawn)


def draw_images(count, height, width):
    return np.random.default_rng(7).integers(0, 256, (count, height, width, 3), np.uint8)


@functools.cache
def in_jax(name, *size):
    """`(variables, images, maps)` of a network on random pixels."""
    variables, images = random_variables(NETWORKS[name]), draw_images(*size)
    maps = make_predict(build_detector(NETWORKS[name]))(variables, images)
    return variables, images, np.asarray(maps)


def arrays_in(path, network=None):
    """What a file holds, by PaddleOCR's names."""
    return to_paddle(read_onnx(path, describe, network))


def run(model, values):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"x": values})[0]


def to_values(images):
    return normalise(images).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("name", NETWORKS)
def test_graph_draws_the_maps_of_the_network(name):
    variables, images, maps = in_jax(name, 2, 64, 96)
    assert maps.std() > 0.01
    for opset in (13, 17):
        model = build_onnx(NETWORKS[name], variables, opset=opset)
        np.testing.assert_allclose(run(model, to_values(images))[:, 0], maps, atol=1e-5)


def test_other_forms_of_the_graph():
    """Batch norm kept, normalisation inside, a fixed size: the same maps."""
    variables, images, maps = in_jax("mobile", 1, 96, 32)
    values = to_values(images)
    kept = build_onnx(TINY, variables, fold=False)
    np.testing.assert_allclose(run(kept, values)[:, 0], maps, atol=1e-5)
    inside = build_onnx(TINY, variables, include_normalisation=True)
    raw = images.transpose(0, 3, 1, 2).astype(np.float32)
    np.testing.assert_allclose(run(inside, raw)[:, 0], maps, atol=1e-5)
    fixed = build_onnx(TINY, variables, shape=(96, 32))
    np.testing.assert_allclose(run(fixed, values)[:, 0], maps, atol=1e-5)
    with pytest.raises(Exception, match="invalid dimensions"):
        run(fixed, to_values(draw_images(1, 64, 96)))


def test_what_a_file_says_of_itself():
    variables = random_variables(TINY)
    model = build_onnx(TINY, variables, metadata={"resize": {"limit_side": 736}})
    sizes = [
        [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    ]
    assert sizes == [["N", 3, "H", "W"], ["N", 1, "H", "W"]]
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["x", "maps"]
    assert (model.ir_version, model.opset_import[0].version) == (8, 13)
    assert {node.op_type for node in model.graph.node} <= set(OLD_OPS) - {"BatchNormalization"}
    assert not any("thresh" in tensor.name for tensor in model.graph.initializer)
    assert model.metadata_props[0].value == '{"limit_side": 736}'
    fixed = build_onnx(TINY, variables, shape=(64, 32)).graph
    assert [d.dim_value for d in fixed.input[0].type.tensor_type.shape.dim] == [1, 3, 64, 32]
    with pytest.raises(UserError, match="opset 12: choose one from 13 to 17"):
        build_onnx(TINY, variables, opset=12)
    with pytest.raises(UserError, match="multiples of 32"):
        build_onnx(TINY, variables, shape=(736, 1300))


def shipped(variables):
    """Arrays that an inference file holds: all but the threshold branch."""
    arrays = to_paddle(variables)
    return {name: value for name, value in arrays.items() if "head.thresh" not in name}


def assert_same_bits(found, expected):
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].shape == value.shape and found[name].dtype == value.dtype, name
        assert found[name].tobytes() == value.tobytes(), name


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_come_back_from_a_named_network(name, tmp_path):
    variables = random_variables(NETWORKS[name], seed=1)
    onnx.save(build_onnx(NETWORKS[name], variables, fold=False), tmp_path / "kept.onnx")
    assert_same_bits(arrays_in(tmp_path / "kept.onnx", NETWORKS[name]), shipped(variables))


@pytest.mark.parametrize(
    "network",
    [
        parts.small(),
        parts.narrow(),
        {**parts.small(), "backbone": dict(name="MobileNetV3", scale=0.75, squeeze_excite=True)},
        {**parts.small(), "neck": dict(name="DBFPN", channels=64)},
        {**parts.small(), "neck": dict(name="RSEFPN", channels=32, shortcut=False)},
        WIDE,
    ],
)
def test_the_network_is_found_out(network, tmp_path):
    variables = random_variables(network)
    model = build_onnx(network, variables, fold=False, include_normalisation=network is WIDE)
    onnx.save(model, tmp_path / "kept.onnx")
    assert_same_bits(arrays_in(tmp_path / "kept.onnx"), shipped(variables))


def as_other_converters_write(model):
    """The same model: no initializer, biases added apart, other names, a name for no reason."""
    written, biases = onnx.ModelProto(), {}
    written.CopyFrom(model)
    del written.graph.initializer[:], written.graph.node[:]
    for tensor in model.graph.initializer:
        if tensor.name.endswith("conv2.bias"):
            value = numpy_helper.to_array(tensor).reshape(1, -1, 1, 1)
            tensor = numpy_helper.from_array(value, tensor.name)
        written.graph.node.append(helper.make_node("Constant", [], [tensor.name], value=tensor))
    for index, node in enumerate(model.graph.node):
        node.name = f"p{index}"
        if len(node.input) > 2 and node.input[2].endswith("conv2.bias"):
            biases[node.output[0]] = node.input.pop()
            output, node.output[0] = node.output[0], f"bare{index}"
            written.graph.node.append(node)
            node = helper.make_node("Add", [f"bare{index}", biases[output]], [output])
        if node.op_type == "Sigmoid":
            written.graph.node.append(helper.make_node("Identity", [node.input[0]], ["same"]))
            node.input[0] = "same"
        written.graph.node.append(node)
    assert biases
    onnx.checker.check_model(written)
    return written


def test_spellings_of_other_converters(tmp_path):
    variables = random_variables(TINY, seed=2)
    model = build_onnx(TINY, variables, fold=False, opset=14)
    onnx.save(as_other_converters_write(model), tmp_path / "other.onnx")
    assert_same_bits(arrays_in(tmp_path / "other.onnx", TINY), shipped(variables))


def test_files_that_hold_no_weights_are_refused(tmp_path):
    variables = random_variables(parts.small())
    path = tmp_path / "file.onnx"
    with pytest.raises(UserError, match="No such file"):
        arrays_in(path)
    path.write_bytes(b"no model")
    with pytest.raises(UserError, match="not an ONNX file"):
        arrays_in(path)
    onnx.save(build_onnx(parts.small(), variables), path)
    with pytest.raises(UserError, match="batch norm is folded into its convolutions"):
        arrays_in(path)
    model = build_onnx(parts.small(), variables, fold=False)
    onnx.save(model, path)
    with pytest.raises(UserError, match="nothing like head.binarize.conv1"):
        arrays_in(path, {**parts.small(), "head": WIDE["head"]})
    longer = onnx.ModelProto()
    longer.CopyFrom(model)
    longer.graph.node.append(helper.make_node("Relu", ["maps"], ["more"]))
    longer.graph.output[0].name = "more"
    onnx.save(longer, path)
    with pytest.raises(UserError, match="continues behind the shrink map"):
        arrays_in(path)
    stride = next(a for n in model.graph.node if n.name == "neck.inp_conv.1.in_conv"
                  for a in n.attribute if a.name == "strides")  # fmt: skip
    stride.ints[:] = [2, 2]
    onnx.save(model, path)
    with pytest.raises(UserError, match="nothing like neck.inp_conv.1.in_conv"):
        arrays_in(path)
    info = [helper.make_tensor_value_info(name, 1, ["N", 3, "H", "W"]) for name in "xy"]
    other = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", info[:1], info[1:])
    onnx.save(helper.make_model(other), path)
    with pytest.raises(UserError, match="folded"):
        arrays_in(path)


def test_the_published_file(shared, tmp_path):
    """Its weights are those of the training form to the bit, and our file draws its maps."""
    published = shared("weights/ch_PP-OCRv3_det_infer.onnx")
    extraction.extract(str(published), None, str(tmp_path / "student.pdparams"))
    arrays = read_pdparams(str(tmp_path / "student.pdparams"))
    expected = read_pdparams(str(shared("weights/ch_PP-OCRv3_det_student.pdparams")))
    assert_same_bits(arrays, {name: expected[name] for name in arrays})
    assert set(arrays) == set(expected)
    model = build_detector(parts.small())
    template = jax.eval_shape(lambda: init_variables(model, jax.random.key(0)))
    variables, report = sources.load_role(str(published), "student", template, trainable=True)
    assert report.initial == ["head.thresh"]
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), template)
    ours = build_onnx(parts.small(), sources.fill_initial(variables, zeros))
    theirs = onnxruntime.InferenceSession(str(published))
    image = np.random.default_rng(0).integers(0, 256, (2, 12, 20, 3), np.uint8)
    values = to_values(image.repeat(16, 1).repeat(16, 2))
    maps = theirs.run(None, {"x": values})[0]
    np.testing.assert_allclose(run(ours, values), maps, atol=1e-4)


def test_a_file_is_run_as_a_network_is(tmp_path):
    variables, images, maps = in_jax("mobile", 2, 64, 96)
    path = tmp_path / "student.onnx"
    onnx.save(build_onnx(TINY, variables), path)
    network = open_network(None, path, "student")
    assert "student" not in network.report and network.variables is None
    np.testing.assert_allclose(network.predict(None, images), maps, atol=1e-5)
    alone = network.predict(None, images[:1, :32, :64])
    padded = np.zeros_like(images)
    padded[0, :32, :64], padded[1] = images[0, :32, :64], images[1]
    together = network.predict(None, padded, np.array([[32, 64], [64, 96]]))
    np.testing.assert_array_equal(together[0, :32, :64], alone[0])
    np.testing.assert_array_equal(together[0, 32:], 0)
    np.testing.assert_allclose(together[1], maps[1], atol=1e-5)
    fixed = tmp_path / "fixed.onnx"
    onnx.save(build_onnx(TINY, variables, shape=(64, 96)), fixed)
    predict = make_onnx_predict(open_session(fixed), fixed)
    np.testing.assert_allclose(predict(None, images), maps, atol=1e-5)
    with pytest.raises(UserError, match="made for 64x96 pixels, but an image has 32x64"):
        predict(None, images[:, :32, :64])
