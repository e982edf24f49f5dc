"""Names, layouts and the report: Paddle's tree and ours, there and back."""

import jax
import numpy as np
import pytest

from configs import parts
from ppocr_jax.errors import UserError
from ppocr_jax.models.detector import build_detector, init_variables
from ppocr_jax.weights import paddle
from ppocr_jax.weights.pdparams import read_pdparams, write_pdparams


@pytest.fixture(scope="module")
def template():
    model = build_detector(parts.small())
    return jax.eval_shape(lambda: init_variables(model, jax.random.key(0)))


@pytest.fixture(scope="module")
def variables(template):
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(leaf.dtype), template)


@pytest.fixture(scope="module")
def arrays(variables):
    return paddle.to_paddle(variables)


def test_names_and_layouts(variables, arrays):
    assert len(arrays) == 301
    assert list(arrays)[:5] == [
        "backbone.conv.conv.weight",
        *(f"backbone.conv.bn.{leaf}" for leaf in ("weight", "bias", "_mean", "_variance")),
    ]
    assert arrays["backbone.stage0.1.bottleneck_conv.conv.weight"].shape == (32, 1, 3, 3)
    assert arrays["neck.inp_conv.2.se_block.conv1.bias"].shape == (6,)
    params = variables["params"]
    ours = params["neck"]["ins_conv_3"]["in_conv"]["kernel"]
    np.testing.assert_array_equal(
        arrays["neck.ins_conv.3.in_conv.weight"][5, 7, 0, 0], ours[0, 0, 7, 5]
    )
    ours = params["head"]["thresh"]["conv2"]["kernel"]  # transposed: [in, out, kh, kw] there
    np.testing.assert_array_equal(arrays["head.thresh.conv2.weight"][3, 4, 0, 1], ours[0, 1, 3, 4])
    assert paddle.paddle_name(("backbone", "bb_0_1", "conv2", "bn", "scale")) == (
        "backbone.bb_0_1.conv2._batch_norm.weight"
    )
    assert paddle.paddle_name(("backbone", "conv1_1", "conv", "kernel")) == (
        "backbone.conv1_1._conv.weight"
    )


def test_there_and_back_is_bit_exact(template, variables, arrays):
    back, report = paddle.from_paddle(arrays, template, "a file")
    jax.tree.map(np.testing.assert_array_equal, back, variables)
    assert report.initial == [] and report.unused == ()
    assert str(report).startswith(
        "backbone 235/235, neck 40/40, head.binarize 13/13, head.thresh 13/13; unused 0"
    )


def test_a_part_that_the_file_lacks_is_named(template, arrays):
    some = {name: v for name, v in arrays.items() if not name.startswith("head.thresh")}
    back, report = paddle.from_paddle(some, template, "a file")
    assert report.initial == ["head.thresh"]
    assert isinstance(back["params"]["head"]["thresh"]["conv1"]["kernel"], jax.ShapeDtypeStruct)
    paddle.require_parts(report, trainable=False)


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.bool_])
def test_integers_are_no_weights(template, arrays, dtype):
    name = "neck.inp_conv.1.in_conv.weight"
    wrong = {**arrays, name: arrays[name].astype(dtype)}
    with pytest.raises(UserError, match=f"a file: {name}: holds {np.dtype(dtype)}; weights"):
        paddle.from_paddle(wrong, template, "a file")
    with pytest.raises(UserError, match=f"{name}: holds {np.dtype(dtype)}"):
        paddle.variables_by_name(wrong)


@pytest.mark.parametrize(
    "name", ["backbone." + "a." * 4000 + "bias", "backbone.\u00b2.bias", "neck", "rec.bias", ""]
)
def test_names_that_no_detector_has(arrays, name):
    with pytest.raises(UserError, match="no part of a detector has such a name") as caught:
        paddle.variables_by_name({**arrays, name: np.zeros(3, np.float32)})
    assert len(str(caught.value)) < 300


def test_a_name_inside_another(arrays):
    assert "backbone.conv.conv.weight" in arrays
    more = {**arrays, "backbone.conv.conv.kernel.bias": np.zeros(3, np.float32)}
    with pytest.raises(UserError, match="is the name of an array and of a part"):
        paddle.variables_by_name(more)


def test_part_of_a_part_is_an_error(template, arrays):
    some = dict(arrays)
    del some["neck.inp_conv.1.in_conv.weight"]
    with pytest.raises(UserError, match=r"neck has 39 of its 40.*missing: neck\.inp_conv\.1"):
        paddle.from_paddle(some, template, "a file")
    wrong = {**arrays, "head.binarize.conv1.weight": np.zeros((24, 96, 7, 7), np.float32)}
    with pytest.raises(UserError, match=r"\[24, 96, 7, 7\], not \[24, 96, 3, 3\]"):
        paddle.from_paddle(wrong, template, "a file")


@pytest.mark.parametrize(
    ("parts_there", "trainable", "message"),
    [
        (("backbone",), True, None),
        (("backbone", "neck", "head.binarize"), True, None),
        (("backbone", "neck", "head.binarize"), False, None),
        (("backbone",), False, "nothing for neck, head.binarize"),
        (("backbone", "neck"), True, "nothing for head.binarize"),
        (("neck", "head.binarize"), True, "nothing for backbone"),
        ((), True, "nothing for backbone"),
        ((), False, "frozen or evaluated"),
    ],
)
def test_what_a_role_needs(template, arrays, parts_there, trainable, message):
    some = {n: v for n, v in arrays.items() if paddle.part_of(n) in parts_there}
    _, report = paddle.from_paddle(some or {"Teacher.x": np.zeros(1)}, template, "a file")
    if message is None:
        paddle.require_parts(report, trainable)
    else:
        with pytest.raises(UserError, match=message):
            paddle.require_parts(report, trainable)


def test_roles_of_a_distillation_file(arrays):
    tree = {
        f"{prefix}.{name}": value * scale
        for scale, prefix in enumerate(("Student", "Student2", "Teacher"), 1)
        for name, value in arrays.items()
    }
    assert paddle.role_prefixes(tree) == ["Student", "Student2", "Teacher"]
    assert paddle.role_prefixes(arrays) == []
    second = paddle.select_role(tree, "student2", "a file")
    np.testing.assert_array_equal(
        second["backbone.conv.conv.weight"], 2 * arrays["backbone.conv.conv.weight"]
    )
    assert list(second) == list(arrays)
    with pytest.raises(UserError, match="roles student, student2, teacher, not assistant"):
        paddle.select_role(tree, "assistant", "a file")
    alone = {n: v for n, v in tree.items() if n.startswith("Teacher.")}
    assert list(paddle.select_role(alone, "student", "a file")) == list(arrays)
    assert paddle.select_role(arrays, "anything", "a file") is arrays
    assert paddle.paddle_prefix("student2") == "Student2."


def test_hash_depends_on_every_bit(arrays):
    name = "neck.ins_conv.0.se_block.conv1.bias"
    changed = {**arrays, name: np.nextafter(arrays[name], np.float32(9))}
    assert paddle.array_hash(arrays) != paddle.array_hash(changed)
    assert paddle.array_hash(arrays) == paddle.array_hash(dict(reversed(arrays.items())))


def test_published_student(shared, template):
    path = shared("weights/ch_PP-OCRv3_det_student.pdparams")
    back, report = paddle.from_paddle(read_pdparams(path), template, "the published student")
    assert report.loaded == {**report.expected, "head.thresh": 0} and not report.unused
    again = paddle.to_paddle(
        {
            kind: {
                "backbone": back[kind]["backbone"],
                **({"neck": back[kind]["neck"]} if "neck" in back[kind] else {}),
                "head": {"binarize": back[kind]["head"]["binarize"]},
            }
            for kind in back
        }
    )
    for name, value in read_pdparams(path).items():
        assert again[name].tobytes() == value.tobytes(), name


def test_imagenet_backbone(shared, template):
    path = shared("weights/MobileNetV3_large_x0_5_pretrained.pdparams")
    _, report = paddle.from_paddle(read_pdparams(path), template, "the ImageNet file")
    assert report.initial == ["neck", "head.binarize", "head.thresh"]
    assert "32 of squeeze-excite" in str(report) and len(report.unused) == 32
    paddle.require_parts(report, trainable=True)


def test_recorded_names(recorded, template):
    names = [entry["name"] for entry in recorded("names_student.json")["params"]]
    shapes = {e["name"]: tuple(e["shape"]) for e in recorded("names_student.json")["params"]}
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), template)
    ours = paddle.to_paddle(zeros)
    assert list(ours) == names
    assert {name: value.shape for name, value in ours.items()} == shapes


def test_paddle_reads_what_is_written(tmp_path, arrays):
    paddle = pytest.importorskip("paddle")
    write_pdparams(tmp_path / "student.pdparams", arrays)
    read = paddle.load(str(tmp_path / "student.pdparams"))
    assert set(read) == set(arrays)
    for name, value in arrays.items():
        assert np.asarray(read[name]).tobytes() == value.tobytes()


@pytest.mark.parametrize(
    "network",
    [
        parts.small(),
        parts.large(),
        {**parts.large(), "neck": dict(name="LKPAN", channels=64, mode="lite")},
        {**parts.small(), "neck": dict(name="DBFPN", channels=64)},
    ],
    ids=["student", "teacher", "lite", "dbfpn"],
)
def test_names_lead_back_to_the_paths(network):
    model = build_detector(network)
    shapes = jax.eval_shape(lambda: init_variables(model, jax.random.key(0)))
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
    again = paddle.variables_by_name(paddle.to_paddle(zeros))

    def form(tree):
        return jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), tree)

    assert form(again) == form(shapes)


def test_a_name_of_no_network_is_refused():
    with pytest.raises(UserError, match="backbone.fc.gamma"):
        paddle.variables_by_name({"backbone.fc.gamma": np.zeros(3, np.float32)})
