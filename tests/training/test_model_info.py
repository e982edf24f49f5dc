"""Parameters, operations and memory of networks."""

import jax
import jax.numpy as jnp
import jaxlib.utils
import numpy as np
import pytest
from tiny import TINY, draw_data, load_config, write_config

from ppocr_jax import info
from ppocr_jax.errors import UserError
from ppocr_jax.models.detector import build_detector, init_variables, shapes_of
from ppocr_jax.training import footprint, model_info
from ppocr_jax.training.footprint import Budget, Footprint
from ppocr_jax.weights.paddle import to_paddle
from ppocr_jax.weights.pdparams import write_pdparams


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("info")
    write_config(folder, draw_data(folder / "data", 1, 1))
    variables = init_variables(build_detector(TINY), jax.random.key(0))
    write_pdparams(str(folder / "tiny.pdparams"), to_paddle(jax.device_get(variables)))
    return folder


@pytest.fixture(scope="module")
def config_path(folder):
    return folder / "configs_for_test" / "tiny_run.py"


def test_figures_are_those_of_the_program():
    """A product of 64x32 by 32x16: two operations for each of 64 * 32 * 16 pairs."""
    one, other = jnp.ones((64, 32), jnp.float32), jnp.ones((32, 16), jnp.float32)
    found = footprint.measure(jax.jit(jnp.matmul), one, other)
    assert found.flops == 2 * 64 * 32 * 16
    held = 4 * (64 * 32 + 32 * 16 + 64 * 16)
    assert held <= found.memory < held + 10_000


def test_no_alarm_while_it_compiles(monkeypatch):
    levels = []
    monkeypatch.setattr(jaxlib.utils, "absl_set_min_log_level", levels.append, raising=False)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "1")
    footprint.measure(jax.jit(lambda x: x * 3.0), jax.ShapeDtypeStruct((4,), np.float32))
    assert levels == [3, 1]


def test_what_is_donated_counts_once():
    shape = jax.ShapeDtypeStruct((1024, 1024), np.float32)
    add = lambda x: x + 1.0  # noqa: E731
    kept = footprint.measure(jax.jit(add), shape).memory
    assert footprint.measure(jax.jit(add, donate_argnums=0), shape).memory == kept - 4 * 2**20


def test_parameters_are_counted_by_part(config_path):
    config = load_config(config_path)
    params = shapes_of(build_detector(TINY))["params"]
    parts = model_info.parameters_by_part(params)
    assert list(parts) == ["backbone", "neck", "head.binarize", "head.thresh"]
    whole = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert sum(parts.values()) == whole
    [line] = model_info.describe_networks(config)
    assert line.startswith(f"student: MobileNetV3, RSEFPN, DBHead; {whole:,} parameters (backbone")


def run(capsys, *argv):
    assert info.main([str(a) for a in argv]) == 0
    return capsys.readouterr()


def test_a_config_and_weights_are_looked_at(folder, config_path, capsys, monkeypatch):
    asked = []

    def measured(config, batch):
        asked.append(batch)
        return Footprint(100 * 2**20 * batch, 1e9 * batch)

    monkeypatch.setattr(footprint, "measure_update", measured)
    monkeypatch.setattr(model_info, "measure_forward", lambda *_: Footprint(5 * 2**20, 2.5e6))
    monkeypatch.setattr(footprint, "find_budget", lambda _: Budget(1000 * 2**20, "a part", 32))
    out, err = run(capsys, config_path)
    assert out.splitlines()[1:4] == [
        "forward pass of student, 1 x 736x1280: 2.5 MFLOP, 5 MiB",
        "update of student, 4 x 64x64: 4 GFLOP, 400 MiB",
        "largest batch at 64x64: 10, 10 GFLOP, 1000 MiB; "
        "a part is 1000 MiB, and at most 32 on CPUs",
    ]
    assert sorted(asked) == [2, 4, 10] and "compiling a forward pass" in err
    out, err = run(capsys, folder / "tiny.pdparams", "--config", config_path, "--no-compile")
    assert out.startswith(f"student from {folder}/tiny.pdparams: backbone ") and err == ""
    assert out.count("\n") == 2


def test_a_batch_that_does_not_fit_is_a_line(config_path, capsys, monkeypatch):
    monkeypatch.setattr(footprint, "measure_update", lambda *_: Footprint(2**40, 1.0))
    monkeypatch.setattr(model_info, "measure_forward", lambda *_: Footprint(1, 1.0))
    monkeypatch.setattr(footprint, "find_budget", lambda _: Budget(2**30, "a part", 32))
    assert "largest batch: none; config.batch_size=0: an update of" in run(capsys, config_path).out
    monkeypatch.setattr(footprint, "find_budget", lambda _: Budget(None, "a part", 32))
    out = run(capsys, config_path, "--config.batch_size=0").out
    assert "largest batch: unknown" in out and "update of" not in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nothing.pdparams"], "nothing.pdparams: there is no such file"),
        (["configs/nothing.py"], "configs/nothing.py: there is no such file"),
        (["{config}", "--size", "100x100"], "--size 100x100: give HEIGHTxWIDTH in multiples"),
        (["{config}", "--size", "0x32"], "--size 0x32"),
        (["{config}", "--batch", "0"], "--batch 0: should be at least 1"),
        (["{config}", "--role", "x"], "--role x: the config has student"),
        (["{config}", "--config.crop=33"], "crop=33: should be a multiple of 32"),
    ],
)
def test_mistakes_are_one_line(config_path, argv, message):
    with pytest.raises(UserError, match=message):
        info.main([word.format(config=config_path) for word in argv])


def test_the_published_onnx_is_counted(shared):
    path = shared("weights/ch_PP-OCRv3_det_infer.onnx")
    line = model_info._describe_onnx(path)
    numbers = int(line.split(", ")[1].split()[0].replace(",", ""))
    assert 590_000 < numbers < 700_000 and "of opset 1" in line
