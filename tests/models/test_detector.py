"""The student network: recorded maps of the original, counts, and properties of its parts."""

import flax.traverse_util
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from rule_weights import jit_in_form, make_arrays, needs_published, relative_l2

from configs import parts
from ppocr_jax.errors import UserError
from ppocr_jax.models.detector import build_detector, init_variables, normalise
from ppocr_jax.models.pixels import MEAN, STD
from ppocr_jax.weights.paddle import from_paddle, to_paddle

NETWORK = ml_collections.ConfigDict(parts.small())


@pytest.fixture(scope="module")
def student():
    return build_detector(NETWORK)


@pytest.fixture(scope="module")
def template(student):
    return jax.eval_shape(lambda: init_variables(student, jax.random.key(0)))


@pytest.fixture(scope="module")
def loaded(recorded, shared, template):
    names = recorded("names_student.json")
    published = None
    if needs_published(names):
        published = shared("weights/ch_PP-OCRv3_det_student.pdparams")
    return from_paddle(make_arrays(names, published), template, "the recorded weights")[0]


@pytest.fixture(scope="module")
def run(student):
    """`(variables, image, train) -> (taps, maps, new statistics)`, one compilation per mode."""

    def forward(variables, image, train):
        kwargs = {"train": train, "mutable": ["batch_stats"]}
        taps, _ = student.apply(variables, image, method="features", **kwargs)
        maps, stats = student.apply(variables, image, **kwargs)
        return taps, maps, stats["batch_stats"]

    return jit_in_form(forward, static_argnums=2)


def nhwc(image):
    return jnp.asarray(image.transpose(0, 2, 3, 1))


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_eval_matches_reference(recorded, loaded, run, platform):
    expected = recorded("forward_student.npz")
    taps, maps, _ = run(loaded, nhwc(expected["eval_input"]), False)
    for name in ("c2", "c3", "c4", "c5", "neck"):  # float32 against float64 alone is 7e-7
        actual = np.asarray(taps[name]).transpose(0, 3, 1, 2)
        assert relative_l2(actual, expected[f"eval_{name}"]) < 1e-5, name
    assert list(maps) == ["shrink"]
    assert relative_l2(maps["shrink"], expected["eval_maps"][:, 0]) < 1e-5
    _, maps, _ = run(loaded, nhwc(expected["train_input"]), False)
    assert relative_l2(maps["shrink"], expected["eval_maps_of_train_input"][:, 0]) < 1e-5


def test_train_matches_reference(recorded, loaded, run, platform):
    expected = recorded("forward_student.npz")
    taps, maps, stats = run(loaded, nhwc(expected["train_input"]), True)
    for name in ("c2", "c3", "c4", "c5", "neck"):
        actual = np.asarray(taps[name]).transpose(0, 3, 1, 2)
        assert relative_l2(actual, expected[f"train_{name}"]) < 1e-4, name
    for channel, name in enumerate(("shrink", "threshold", "binary")):
        # The factor 50 of the binary map enlarges what rounding leaves in the other two.
        difference = abs(np.asarray(maps[name]) - expected["train_maps"][:, channel]).max()
        assert difference < 2e-3, name
    after = recorded("forward_student_bn_after.npz")
    arrays = to_paddle({"params": loaded["params"], "batch_stats": stats})
    for name, value in after.items():
        deviation = np.sqrt(after[name.replace("_mean", "_variance")])
        limit = 1e-4 * deviation if name.endswith("_mean") else 4e-4 * np.abs(value)
        assert (abs(arrays[name] - value) <= limit + 1e-30).all(), name  # a dead channel


def test_imagenet_backbone_matches_reference(recorded, shared, template):
    from ppocr_jax.weights.pdparams import read_pdparams

    expected = recorded("forward_imagenet_backbone.npz")
    record = recorded("forward_imagenet_backbone.json")
    arrays = read_pdparams(str(shared("weights/MobileNetV3_large_x0_5_pretrained.pdparams")))
    for tag, gates in (("no_se", False), ("with_se", True)):
        network = parts.small()
        network["backbone"]["squeeze_excite"] = gates
        model = build_detector(network)
        shapes = jax.eval_shape(lambda model=model: init_variables(model, jax.random.key(0)))
        variables, report = from_paddle(arrays, shapes, "the ImageNet file")
        assert str(report).startswith(
            f"backbone {record[tag]['loaded']}/{record[tag]['model_tensors']},"
        )
        part = {kind: {"backbone": variables[kind]["backbone"]} for kind in variables}
        taps = jax.jit(lambda v, x, model=model: model.bind(v).backbone(x))(
            part, nhwc(expected["input"])
        )
        for name, tap in zip(("c2", "c3", "c4", "c5"), taps, strict=True):
            actual = np.asarray(tap).transpose(0, 3, 1, 2)
            assert relative_l2(actual, expected[f"{tag}_{name}"]) < 1e-5, (tag, name)


def test_neck_without_shortcut_matches_reference(recorded):
    from ppocr_jax.models.rse_fpn import RSEFPN

    names = recorded("names_neck_rsefpn_noshortcut.json")
    expected = recorded("neck_rsefpn_noshortcut.npz")
    out_channels = names.get("out_channels", expected["eval_out"].shape[1])
    neck = RSEFPN(channels=out_channels, shortcut=False)
    arrays = make_arrays(names, drop="neck_rsefpn_noshortcut.")
    arrays = {f"neck.{name}": value for name, value in arrays.items()}
    pyramid = [nhwc(expected[name]) for name in ("c2", "c3", "c4", "c5")]
    shapes = jax.eval_shape(lambda: neck.init(jax.random.key(0), pyramid))
    shapes = {"params": {"neck": shapes["params"]}, "batch_stats": {}}
    variables, _ = from_paddle(arrays, shapes, "the recorded neck")
    fused = jax.jit(lambda p: neck.apply({"params": p}, pyramid))(variables["params"]["neck"])
    actual = np.asarray(fused).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(actual, expected["eval_out"], atol=2e-5)


def test_counts(template):
    assert count(template["params"]) == 603_418
    assert count(template["batch_stats"]) == 12_560
    assert count(template["params"]["backbone"]) == 398_480
    assert count(template["params"]["neck"]) == 158_424
    assert count(template["params"]["head"]["binarize"]) == 23_257
    assert len(jax.tree.leaves(template["params"])) == 199


def test_taps_and_maps_have_their_shapes(student, template):
    image = jax.ShapeDtypeStruct((2, 64, 96, 3), jnp.uint8)
    taps = jax.eval_shape(lambda v, x: student.apply(v, x, method="features"), template, image)
    assert {name: tap.shape for name, tap in taps.items()} == {
        "c2": (2, 16, 24, 16),
        "c3": (2, 8, 12, 24),
        "c4": (2, 4, 6, 56),
        "c5": (2, 2, 3, 480),
        "neck": (2, 16, 24, 96),
    }
    maps = jax.eval_shape(lambda v, x: student.apply(v, x), template, image)
    assert {name: m.shape for name, m in maps.items()} == {"shrink": (2, 64, 96)}


def test_refuses_sides_that_are_no_multiples_of_32(student, template):
    with pytest.raises(ValueError, match="multiples of 32"):
        jax.eval_shape(lambda v: student.apply(v, jnp.zeros((1, 72, 96, 3), jnp.float32)), template)


def test_initial_values_follow_the_original(student):
    variables = init_variables(student, jax.random.key(3))
    flat = flax.traverse_util.flatten_dict(variables["params"], sep="/")
    last = flat["head/binarize/conv3/kernel"]
    assert 0.9 < abs(last).max() <= np.sqrt(1.5)
    assert abs(flat["head/thresh/conv2/bias"]).max() <= 24**-0.5
    assert abs(flat["head/binarize/conv2/kernel"]).max() <= 0.25
    np.testing.assert_allclose(flat["head/binarize/conv_bn1/bias"], 1e-4)
    depthwise = flat["backbone/stage3_1/bottleneck_conv/conv/kernel"]
    np.testing.assert_allclose(depthwise.std(), np.sqrt(2 / (25 * 480)), rtol=0.05)
    dense = flat["backbone/stage3_3/conv/kernel"]
    np.testing.assert_allclose(dense.std(), np.sqrt(2 / 80), rtol=0.05)
    neck = flat["neck/ins_conv_3/in_conv/kernel"]
    np.testing.assert_allclose(abs(neck).max(), np.sqrt(6 / 480), rtol=0.01)
    assert (flat["neck/ins_conv_0/se_block/conv1/bias"] == 0).all()
    again = init_variables(student, jax.random.key(3))
    jax.tree.map(np.testing.assert_array_equal, variables, again)


def test_normalise_is_in_channel_order():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    expected = (image / 255.0 - np.array(MEAN)) / np.array(STD)
    np.testing.assert_allclose(normalise(jnp.asarray(image)), expected, rtol=1e-5, atol=1e-6)


def test_uint8_and_normalised_images_give_the_same_maps(student, run):
    variables = init_variables(student, jax.random.key(0))
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    _, one, _ = run(variables, jnp.asarray(image), False)
    _, other, _ = run(variables, normalise(jnp.asarray(image)), False)
    np.testing.assert_allclose(one["shrink"], other["shrink"], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": {"name": "VGG"}}, "choose one of MobileNetV3"),
        ({"neck": {"name": "RSEFPN", "depth": 3}}, "depth"),
    ],
)
def test_unknown_parts_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        build_detector({**parts.small(), **change})


def test_float16_is_refused_with_its_reason():
    with pytest.raises(UserError, match="float16 overflows"):
        build_detector(parts.small(), "float16")
