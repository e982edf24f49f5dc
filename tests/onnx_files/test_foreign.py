"""ONNX files from elsewhere: what is no detector, unsafe or damaged is one line."""

import pathlib

import numpy as np
import onnx
import pytest
import rapidocr
from onnx import helper, numpy_helper
from test_onnx import OLD_OPS, arrays_in, draw_images, random_variables
from tiny import TINY

from ppocr_jax.errors import UserError
from ppocr_jax.models.detector import describe
from ppocr_jax.onnx_files import door, session
from ppocr_jax.onnx_files.reader import read_onnx
from ppocr_jax.onnx_files.session import make_onnx_predict, open_session, read_metadata
from ppocr_jax.onnx_files.writer import build_onnx


def write_graph(path, nodes, inits=(), inputs=None, outputs=None):
    """A file of the given nodes from `x` to `y`."""
    value = helper.make_tensor_value_info
    inputs = inputs or [value("x", 1, ["N", 3, "H", "W"])]
    outputs = outputs or [value("y", 1, ["N", 1, "H", "W"])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, inits)
    opsets = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opsets), path)


def node(op, *inputs, output="y", **attributes):
    return helper.make_node(op, inputs, [output], **attributes)


def constant(name, value, dtype=np.int64):
    return numpy_helper.from_array(np.array(value, dtype), name)


INFO = helper.make_tensor_value_info
IMAGE = ["N", 3, "H", "W"]
NO_DETECTORS = {  # what is said -> type and shape of the input, type and shape of the output
    "a classifier": (1, IMAGE, 1, [1, 2]),
    "a text recogniser": (1, IMAGE, 1, [1, 40, 6625]),
    r"takes \[\?, 4\], not an image": (1, ["N", 4], 1, [1, 1, 4, 4]),
    r"gives \[1, 7, 8, 8\], not a map": (1, IMAGE, 1, [1, 7, 8, 8]),
    "takes tensor.float16., not float32": (10, IMAGE, 10, [1, 1, 8, 8]),
    "gives tensor.int64., not float32": (1, IMAGE, 7, [1, 1, 8, 8]),
}


@pytest.mark.parametrize("said", NO_DETECTORS)
def test_what_is_no_detector_is_said_to_be_none(said, tmp_path):
    given, wanted, kind, shape = NO_DETECTORS[said]
    nodes = [node("Reshape", "x", "s", output="r"), node("Cast", "r", to=kind)]
    ends = [INFO("x", given, wanted)], [INFO("y", kind, shape)]
    write_graph(tmp_path / "file.onnx", nodes, [constant("s", shape)], *ends)
    with pytest.raises(UserError, match=said):
        open_session(tmp_path / "file.onnx")


def test_two_inputs_are_no_image(tmp_path):
    ends = [INFO(name, 1, IMAGE) for name in "xz"], [INFO("y", 1, IMAGE)]
    write_graph(tmp_path / "file.onnx", [node("Add", "x", "z")], (), *ends)
    with pytest.raises(UserError, match=r"file.onnx: has 2 inputs \(x, z\), not one image"):
        open_session(tmp_path / "file.onnx")


def test_files_that_cannot_be_run_are_named(tmp_path):
    path = tmp_path / "file.onnx"
    with pytest.raises(UserError, match="file.onnx: No such file"):
        open_session(path)
    write_graph(path, [node("Nope", "x")])
    with pytest.raises(UserError, match="file.onnx: onnxruntime cannot load it: .*Nope"):
        open_session(path)


WEIGHT = constant("w", np.ones((1, 3, 1, 1)), np.float32)
RUNS = {  # graphs that load -> what is said when they run
    "not a map": ([node("Conv", "x", "w", strides=[2, 2])], [WEIGHT]),
    "cannot be run": ([node("Reshape", "x", "s")], [constant("s", [1, 1, 5, 7])]),
    "needs more than": (
        [node("Resize", "x", "", "f", output="big"), node("ReduceMean", "big", output="y")],
        [constant("f", [1, 1, 4000, 4000], np.float32)],
    ),
    "not finite": (
        [node("Conv", "x", "w", output="r"), node("Div", "r", "z")],
        [WEIGHT, constant("z", 0.0, np.float32)],
    ),
}


@pytest.mark.parametrize("said", RUNS)
def test_what_a_file_does_is_checked(said, tmp_path):
    open_map = [INFO("y", 1, None)]
    write_graph(tmp_path / "file.onnx", *RUNS[said], outputs=open_map)
    predict = make_onnx_predict(open_session(tmp_path / "file.onnx"), "file.onnx")
    with pytest.raises(UserError, match=f"file.onnx: .*{said}") as caught:
        predict(None, draw_images(1, 64, 64))
    assert len(str(caught.value)) < 400


def test_a_pass_that_takes_too_long_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "SECONDS", 0.2)
    monkeypatch.setattr(session, "SECONDS_PER_MP", 0.0)
    nodes = [node("Conv", "x", "k", output="c0", pads=[15] * 4)]
    nodes += [node("Conv", f"c{i}", "k", output=f"c{i + 1}", pads=[15] * 4) for i in range(99)]
    write_graph(
        tmp_path / "file.onnx",
        [*nodes, node("Conv", "c99", "w")],
        [constant("k", np.full((3, 3, 31, 31), 1e-9), np.float32), WEIGHT],
    )
    predict = make_onnx_predict(open_session(tmp_path / "file.onnx"), "file.onnx")
    with pytest.raises(UserError, match="it takes more than 0 s"):
        predict(None, draw_images(1, 640, 640))


def outside(path):
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[1, 3, 1, 1])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret.bin")
    (path.parent / "secret.bin").write_bytes(np.ones(3, np.float32).tobytes())
    write_graph(path, [node("Conv", "x", "w")], [tensor])


def change(path, edit):
    """Writes a small good file after `edit(model)`."""
    write_graph(path, [node("Conv", "x", "w")], [WEIGHT])
    model = onnx.load(str(path))
    edit(model)
    path.write_bytes(model.SerializeToString())


def loop(path):
    body = helper.make_graph(
        [node("Identity", "go", output="on"), node("Identity", "v", output="u")],
        "body",
        [INFO("i", 7, []), INFO("go", 9, []), INFO("v", 1, IMAGE)],
        [INFO("on", 9, []), INFO("u", 1, IMAGE)],
    )
    count, true = constant("n", 1 << 60), constant("t", True, np.bool_)
    write_graph(path, [node("Loop", "n", "t", "x", body=body)], [count, true])


def sparse(path):
    values, places = constant("w", [1.0], np.float32), constant("", [0])
    tensor = helper.make_sparse_tensor(values, places, [1 << 40])
    change(path, lambda model: model.graph.sparse_initializer.append(tensor))


def give_functions(model):
    function = helper.make_function("own", "F", ["a"], ["b"], [], [helper.make_opsetid("", 13)])
    model.functions.append(function)


UNSAFE = {  # what is said -> writes such a file
    "keeps its weights in another file .w., which is not read": outside,
    "'Loop' runs loops": loop,
    "sparse tensors": sparse,
    "functions of its own": lambda path: change(path, give_functions),
    "'com.microsoft.EPContext' reads other files": lambda path: change(
        path, lambda m: m.graph.node.append(
            helper.make_node("EPContext", ["x"], ["z"], domain="com.microsoft")
        )
    ),
    "'own.Op' is none of ONNX's own": lambda path: change(
        path, lambda m: m.graph.node.append(helper.make_node("Op", ["x"], ["z"], domain="own"))
    ),
    "more than 20000 operations": lambda path: change(
        path, lambda m: m.graph.node.extend(
            helper.make_node("Relu", ["x"], [str(i)]) for i in range(20_000)
        )
    ),
    "w holds values that are not finite": lambda path: write_graph(
        path, [node("Conv", "x", "w")], [constant("w", np.full((1, 3, 1, 1), np.nan), np.float32)]
    ),
    "the data of tensor w do not fit its shape": lambda path: change(
        path, lambda m: m.graph.initializer[0].dims.append(1 << 40)
    ),
    "without a graph": lambda path: change(path, lambda m: m.ClearField("graph")),
    "not an ONNX file but a pickle": lambda path: path.write_bytes(b"\x80\x04}."),
    "not an ONNX file but a web page": lambda path: path.write_bytes(b"<html></html>"),
}  # fmt: skip


@pytest.mark.parametrize("said", UNSAFE)
def test_nothing_of_an_unsafe_file_is_run(said, tmp_path):
    path = tmp_path / "file.onnx"
    UNSAFE[said](path)
    for use in (open_session, arrays_in, read_metadata):
        with pytest.raises(UserError, match=f"file.onnx: .*{said}"):
            use(path)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("config", "{", "'config' is not JSON"),
        ("more", "[" * 9999, "'more' is not JSON"),
        ("config", "[]", "'config' is not what export writes"),
        ("normalisation", "3", "'normalisation' is not what"),
        ("normalisation", '{"included": "no"}', "is not true or false"),
        ("weights", '"x"', "'weights' is not what"),
    ],
)
def test_metadata_is_what_export_writes(key, value, said, tmp_path):
    path = tmp_path / "file.onnx"

    def edit(model):
        model.producer_name = "ppocr_jax"
        model.metadata_props.add(key=key, value=value)

    change(path, edit)
    for use in (open_session, read_metadata):
        with pytest.raises(UserError, match=f"file.onnx: its metadata .*{said}"):
            use(path)
    change(path, lambda model: model.metadata_props.add(key=key, value=value))
    assert read_metadata(path) == {}  # of another producer, and not looked at


def test_every_flipped_bit_of_an_exported_file_is_noticed(tmp_path):
    model = build_onnx(TINY, random_variables(TINY), metadata={"role": "student"})
    data, rng = door.seal(model), np.random.default_rng(0)
    assert door.seal(onnx.load_from_string(data)) == data
    path = tmp_path / "file.onnx"
    path.write_bytes(data)
    assert open_session(path).sealed and read_metadata(path)["role"] == "student"
    for _ in range(100):
        damaged = bytearray(data)
        damaged[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="file.onnx: "):
            read_metadata(path)


def shaken(model, rng):
    """Changes one thing of a model: a field is lost, a number, type or connection is another."""
    graph = model.graph
    some = graph.node[rng.integers(len(graph.node))]
    tensor = graph.initializer[rng.integers(len(graph.initializer))]
    numbers = [0, -1, 3, 1 << 31, 1 << 62]
    match rng.integers(7):
        case 0:
            holder = (model, graph, some, tensor)[rng.integers(4)]
            fields = holder.ListFields()
            holder.ClearField(fields[rng.integers(len(fields))][0].name)
        case 1:
            tensor.data_type = int(rng.integers(25))
        case 2 if tensor.dims:
            tensor.dims[rng.integers(len(tensor.dims))] = numbers[rng.integers(5)]
        case 3 if some.attribute and some.attribute[-1].ints:
            some.attribute[-1].ints[0] = numbers[rng.integers(5)]
        case 4:
            some.input[0] = graph.node[rng.integers(len(graph.node))].output[0]
        case 5:
            some.op_type = OLD_OPS[rng.integers(len(OLD_OPS))]
        case _:
            dims = graph.input[0].type.tensor_type.shape.dim
            dims[rng.integers(4)].dim_value = numbers[rng.integers(5)]
    return model


def test_any_change_of_a_file_is_borne_or_one_line(tmp_path):
    good = {fold: build_onnx(TINY, random_variables(TINY), fold=fold) for fold in (True, False)}
    expected = describe(TINY)
    rng, images, refused = np.random.default_rng(0), draw_images(1, 64, 64), 0
    path = tmp_path / "a.onnx"
    for trial in range(40):
        model = onnx.ModelProto()
        model.CopyFrom(good[trial % 2 == 0])
        path.write_bytes(shaken(model, rng).SerializeToString())
        try:
            maps = make_onnx_predict(open_session(path), "a.onnx")(None, images)
            assert maps.shape == (1, 64, 64) and np.isfinite(maps).all()
            read_onnx(path, lambda network: expected, TINY)
        except UserError as error:
            refused += 1
            assert "a.onnx: " in str(error) and len(str(error)) < 700
    assert refused > 20


@pytest.mark.parametrize(("model", "said"), [("cls", "a classifier"), ("rec", "a text recogniser")])
def test_models_of_rapidocr(model, said):
    folder = pathlib.Path(rapidocr.__file__).parent / "models"
    for path in sorted(folder.glob(f"*_{model}_*.onnx")):
        with pytest.raises(UserError, match=f"it looks like {said}"):
            open_session(path)
