"""A network that the project does not have yet: one class, one entry, and what follows."""

import shutil
import sys
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest
from tiny import TINY, draw_data, load_config, write_config

from ppocr_jax import models
from ppocr_jax.detection import network
from ppocr_jax.errors import UserError
from ppocr_jax.models.detector import build_detector, init_variables
from ppocr_jax.models.initial import constant
from ppocr_jax.models.layers import ConvBN
from ppocr_jax.models.operations import relu
from ppocr_jax.onnx_files.writer import build_onnx
from ppocr_jax.shipping import extraction
from ppocr_jax.training.loop import train
from ppocr_jax.weights import sources


class Stairs(nn.Module):
    """Five convolutions that halve; with `scaled`, the last has a learned factor per channel."""

    scaled: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train=False):
        taps = []
        for level, features in enumerate((4, 4, 8, 8, 12)):
            layer = ConvBN(features, 3, 2, act=relu, dtype=self.dtype, name=f"step_{level}")
            x = layer(x, train)
            taps.append(x)
        if self.scaled:
            gain = self.param("gain", constant(1.0), (12,))
            taps[-1] = x * gain.astype(self.dtype).reshape(1, 1, 1, -1)
        return taps[1:]


PLAIN = {**TINY, "backbone": dict(name="Stairs")}
SCALED = {**TINY, "backbone": dict(name="Stairs", scaled=True)}


@pytest.fixture(autouse=True)
def listed(monkeypatch):
    """The entry, and the file that it names; both are taken out again."""
    monkeypatch.setitem(models.BACKBONES._places, "Stairs", "stairs.Stairs")
    monkeypatch.setitem(sys.modules, "ppocr_jax.models.stairs", sys.modules[__name__])


def moved(network):
    """Variables of a network that are not those it starts with."""
    variables = init_variables(build_detector(network), jax.random.key(0))
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: np.float32(leaf + rng.uniform(0, 0.1, leaf.shape)), jax.device_get(variables)
    )


def test_what_is_made_of_our_layers_exports_by_itself():
    variables, image = moved(PLAIN), np.random.default_rng(1).normal(size=(2, 64, 96, 3))
    image = image.astype(np.float32)
    maps = build_detector(PLAIN).apply(variables, image)["shrink"]
    session = onnxruntime.InferenceSession(build_onnx(PLAIN, variables).SerializeToString())
    drawn = session.run(None, {"x": image.transpose(0, 3, 1, 2)})[0][:, 0]
    assert np.std(maps) > 1e-3
    np.testing.assert_allclose(drawn, maps, atol=1e-5)


def test_what_is_not_recorded_is_named():
    reason = r"Stairs cannot be exported to ONNX: `gain = self\.param\(.*test_new_network\.py, line"
    with pytest.raises(UserError, match=reason):
        build_onnx(SCALED, moved(SCALED))


def test_a_parameter_of_another_kind_lives_in_our_own_states(tmp_path):
    config = load_config(write_config(tmp_path, draw_data(tmp_path / "data")), "steps=4")
    config.roles.student.backbone = SCALED["backbone"]
    workdir = tmp_path / "run"
    train(config, workdir)
    for step in (3, 4):
        shutil.rmtree(workdir / "checkpoints" / str(step), ignore_errors=True)
    state = jax.device_get(train(config, workdir)[0])  # goes on
    assert int(state.step) == 4
    trained = {"params": state.params["student"], "batch_stats": state.batch_stats["student"]}
    assert np.ptp(trained["params"]["backbone"]["gain"]) > 0

    extraction.extract(str(workdir / "latest"), "student", str(tmp_path / "student"))
    for place in (workdir / "latest", tmp_path / "student"):
        _, loaded, report = network.load_network(config, str(place), "student")
        jax.tree.map(np.testing.assert_array_equal, loaded, trained)
        assert str(report).startswith("backbone 26/26, neck 40/40, ") and not report.unused
    with pytest.raises(UserError, match="backbone.gain: PaddleOCR has no name for such a param"):
        extraction.extract(str(tmp_path / "student"), None, str(tmp_path / "s.pdparams"))
    assert any("params/backbone/gain [12]" in x for x in extraction.describe(str(workdir / "4")))


def test_states_of_another_network_are_refused(tmp_path):
    config = load_config(write_config(tmp_path, draw_data(tmp_path / "data")))
    meta = {"role": "student", "roles": ["student"]}
    variables = moved(PLAIN)
    extraction.write_folder(tmp_path / "plain", variables, meta)
    config.roles.student.backbone = SCALED["backbone"]
    with pytest.raises(UserError, match="backbone has 25 of its 26.*missing: backbone.gain"):
        network.load_network(config, str(tmp_path / "plain"), "student")
    variables["params"]["backbone"]["gain"] = np.ones(12)
    extraction.write_folder(tmp_path / "wide", variables, meta)
    with pytest.raises(UserError, match="backbone.gain is float64, not float32"):
        network.load_network(config, str(tmp_path / "wide"), "student")
    assert sources.open_source(str(tmp_path / "wide")).is_own
