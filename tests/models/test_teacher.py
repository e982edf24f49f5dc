"""The teacher network and the other necks: recorded maps of the original, counts, names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rule_weights import jit_in_form, make_arrays, relative_l2

from configs import parts
from ppocr_jax.models.db_fpn import DBFPN
from ppocr_jax.models.detector import build_detector, init_variables
from ppocr_jax.models.lk_pan import LKPAN
from ppocr_jax.weights.paddle import from_paddle, to_paddle

TAPS = ("c2", "c3", "c4", "c5", "neck")


@pytest.fixture(scope="module")
def teacher():
    return build_detector(parts.large())


@pytest.fixture(scope="module")
def template(teacher):
    return jax.eval_shape(lambda: init_variables(teacher, jax.random.key(0)))


@pytest.fixture(scope="module")
def loaded(recorded, template):
    return from_paddle(make_arrays(recorded("names_teacher.json")), template, "by rule")[0]


def nhwc(image):
    return jnp.asarray(image.transpose(0, 2, 3, 1))


def run(teacher, variables, image, train):
    def forward(variables, image):
        kwargs = {"train": train, "mutable": ["batch_stats"]}
        taps, _ = teacher.apply(variables, image, method="features", **kwargs)
        maps, stats = teacher.apply(variables, image, **kwargs)
        return taps, maps, stats["batch_stats"]

    return jit_in_form(forward)(variables, nhwc(image))


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_eval_matches_reference(recorded, teacher, loaded, platform):
    expected = recorded("forward_teacher.npz")
    taps, maps, _ = run(teacher, loaded, expected["eval_input"], False)
    for name in TAPS:
        actual = np.asarray(taps[name]).transpose(0, 3, 1, 2)
        assert relative_l2(actual, expected[f"eval_{name}"]) < 1e-5, name
    assert relative_l2(maps["shrink"], expected["eval_maps"][:, 0]) < 1e-5


def test_train_matches_reference(recorded, teacher, loaded, platform):
    expected = recorded("forward_teacher.npz")
    taps, maps, stats = run(teacher, loaded, expected["train_input"], True)
    for name in TAPS:  # the deepest batch norm sees eight values a channel
        actual = np.asarray(taps[name]).transpose(0, 3, 1, 2)
        assert relative_l2(actual, expected[f"train_{name}"]) < 1e-3, name
    for channel, name in enumerate(("shrink", "threshold", "binary")):
        difference = abs(np.asarray(maps[name]) - expected["train_maps"][:, channel]).max()
        assert difference < 1e-2, name
    arrays = to_paddle({"params": {}, "batch_stats": stats})
    for name, value in recorded("forward_teacher_bn_after.npz").items():
        assert relative_l2(arrays[name], value) < 1e-3, name


@pytest.mark.parametrize(
    ("tag", "make"),
    [
        ("lkpan_lite", lambda channels: LKPAN(channels, "lite")),
        ("lkpan_large", lambda channels: LKPAN(channels, "large")),
        ("dbfpn", DBFPN),
    ],
)
def test_necks_match_reference(recorded, tag, make):
    names, expected = recorded(f"names_neck_{tag}.json"), recorded(f"neck_{tag}.npz")
    neck = make(names["out_channels"])
    pyramid = [nhwc(expected[name]) for name in TAPS[:4]]
    shapes = jax.eval_shape(lambda: neck.init(jax.random.key(0), pyramid, True))
    template = {kind: {"neck": tree} for kind, tree in shapes.items()}
    arrays = make_arrays(names, drop=f"neck_{tag}.")
    arrays = {f"neck.{name}": value for name, value in arrays.items()}
    variables, report = from_paddle(arrays, template, tag)
    assert not report.unused and list(to_paddle(variables)) == list(arrays)
    variables = {kind: tree["neck"] for kind, tree in variables.items()}
    fused = jax.jit(lambda v: neck.apply(v, pyramid))(variables)
    actual = np.asarray(fused).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(actual, expected["eval_out"], atol=2e-5)
    if "train_out" not in expected:
        return
    fused, stats = jax.jit(lambda v: neck.apply(v, pyramid, True, mutable=["batch_stats"]))(
        variables
    )
    actual = np.asarray(fused).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(actual, expected["train_out"], atol=2e-5)
    after = to_paddle({"params": {}, "batch_stats": {"neck": stats["batch_stats"]}})
    for name, value in expected.items():
        if name.startswith("after/"):
            ours = after[name.replace("after/", "neck.")]
            np.testing.assert_allclose(ours, value, atol=2e-5)


def test_counts(template):
    assert count(template["params"]) == 32_895_970
    assert count(template["batch_stats"]) == 53_760
    assert count(template["params"]["backbone"]) == 23_527_264
    assert count(template["params"]["neck"]) == 7_729_152
    assert count(template["params"]["head"]["binarize"]) == 819_777
    assert len(jax.tree.leaves(template)) == 316


def test_count_of_the_lite_neck():
    neck = LKPAN(256, "lite")
    pyramid = [jnp.zeros((1, 8 // 2**i, 8 // 2**i, 256 * 2**i)) for i in range(4)]
    shapes = jax.eval_shape(lambda: neck.init(jax.random.key(0), pyramid, True))
    assert count(shapes["params"]) == 2_717_440 and count(shapes["batch_stats"]) == 12_800


def test_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="mode=.*large or lite"):
        jax.eval_shape(
            lambda: LKPAN(8, "tiny").init(jax.random.key(0), [jnp.zeros((1, 8, 8, 4))] * 4)
        )


def test_recorded_names(recorded, template):
    entries = recorded("names_teacher.json")["params"]
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), template)
    ours = to_paddle(zeros)
    assert list(ours) == [entry["name"] for entry in entries]
    assert [list(v.shape) for v in ours.values()] == [entry["shape"] for entry in entries]


SMALL = dict(
    backbone=dict(name="ResNetVD", depths=(1, 1, 1, 1), width=8),
    neck=dict(name="LKPAN", channels=16, mode="lite"),
    head=dict(name="DBHead", kernels=(7, 2, 2)),
)


@pytest.mark.parametrize("neck", [SMALL["neck"], {"name": "DBFPN", "channels": 16}])
def test_images_in_a_larger_shape_get_the_maps_they_get_alone(neck):
    model = build_detector({**SMALL, "neck": neck})
    variables = jax.jit(lambda: init_variables(model, jax.random.key(0)))()
    predict = jax.jit(lambda v, x, area: model.apply(v, x, area=area)["shrink"])
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1, 64, 96, 3), np.uint8)
    padded = np.zeros((1, 128, 128, 3), np.uint8)
    padded[:, :64, :96] = image
    alone = predict(variables, image, None)
    together = predict(variables, padded, np.array([[64, 96]], np.int32))
    np.testing.assert_allclose(together[:, :64, :96], alone, atol=1e-5)
