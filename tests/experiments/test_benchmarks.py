"""The benchmark command on synthetic data, at its smallest."""

import importlib.util
import json

import jax
import jax.numpy as jnp
import pytest

from experiments.benchmarks import __main__ as benchmarks
from experiments.benchmarks import steps
from experiments.benchmarks.ceilings import measure_ceilings, profile, step_flops
from experiments.benchmarks.measure import in_a_process, random_batch
from experiments.benchmarks.steps import OurStep, load
from ppocr_jax.kernels.convolution import convolve, pointwise


def test_host_parts_are_measured(tmp_path, capsys):
    output = tmp_path / "numbers.json"
    parts = ["operations", "data", "postprocess", "metric"]
    assert benchmarks.main(["--only", *parts, "--quick", "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    record = json.loads(output.read_text())
    assert {row["part"] for row in record["rows"]} == set(parts)
    assert all(row["value"] > 0 and row["unit"] for row in record["rows"])
    assert record["machine"]["cores"] >= 1 and "| metric |" in printed


def test_the_platform_is_chosen_before_jax_looks_for_devices(tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(benchmarks.process, "choose_platform", lambda: called.append("platform"))
    monkeypatch.setattr(benchmarks, "describe_machine", lambda: called.append("machine") or {})
    monkeypatch.setitem(benchmarks.PARTS, "metric", lambda *_: [])
    assert benchmarks.main(["--only", "metric", "--output", str(tmp_path / "numbers.json")]) == 0
    assert called == ["platform", "machine"]


@pytest.mark.long
def test_the_loop_is_measured_on_a_simulated_device(tmp_path):
    output = tmp_path / "numbers.json"
    assert benchmarks.main(["--only", "loop", "--quick", "--output", str(output)]) == 0
    rows = {
        (row["case"], row["what"]): row["value"] for row in json.loads(output.read_text())["rows"]
    }
    assert rows["4 x 64x64", "a sample as created"] == pytest.approx(64 * 64 * 10 / 1e6)
    assert 30 < rows["4 x 64x64", "transferred / created"] < 75
    assert rows["waiting, slow source", "as measured"] > 30


@pytest.mark.long
def test_an_evaluation_is_measured_beside_onnxruntime(shared, tmp_path):
    output = tmp_path / "numbers.json"
    weights = shared("weights/ch_PP-OCRv3_det_student.pdparams")
    argv = ["--only", "evaluate", "--quick", "--weights", str(weights), "--output", str(output)]
    assert benchmarks.main(argv) == 0
    values = {row["what"]: row["value"] for row in json.loads(output.read_text())["rows"]}
    forward, both = values["onnxruntime forward alone"], values["evaluation / forward"]
    assert forward > 0 and both == pytest.approx(values["evaluation"] / forward)


class OneLayer:
    """A network of one 3x3 convolution, 4 -> 8 channels, followed by a 1x1 convolution, 8 -> 2."""

    def apply(self, kernels, image, **_):
        return pointwise(convolve(image, kernels[0]), kernels[1])


def test_operations_of_a_step_are_those_of_its_products():
    kernels, image = (jnp.ones((3, 3, 4, 8)), jnp.ones((1, 1, 8, 2))), jnp.ones((2, 10, 10, 4))
    forward = 2 * 200 * (9 * 4 * 8 + 8 * 2)
    models, variables = {"a": OneLayer(), "b": OneLayer()}, {"a": kernels, "b": kernels}
    assert step_flops(models, variables, ("a",), image) == (3 + 1) * forward


def test_ceilings_and_profile_are_measured():
    assert all(value > 1e6 for value in measure_ceilings("float32", quick=True))
    x = jnp.ones((300, 300))
    step = jax.jit(lambda x: jnp.sin(x @ x)).lower(x).compile()
    found = profile(lambda: step(x).block_until_ready(), step.as_text())
    assert found and all(milliseconds > 0 for _, milliseconds in found)
    assert any("dot_general" in name for name, _ in found)


def test_an_implementation_that_does_not_fit_is_named_and_skipped(capsys):
    def full():
        raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")

    def broken():
        raise RuntimeError("shapes differ")

    assert steps._fitting("DML 8 x 960x960", "torch.compile", full) is None
    assert "DML 8 x 960x960: torch.compile does not fit" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="shapes differ"):
        steps._fitting("DML", "torch.compile", broken)


def test_a_case_that_ends_badly_is_an_error():
    with pytest.raises(RuntimeError, match="exited with"):
        list(in_a_process("experiments.benchmarks.steps", "no-such-network", 64, 1, "float32"))


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
@pytest.mark.parametrize("name", ["student", "CML"])
def test_pytorch_takes_the_same_step(name):
    from experiments.benchmarks.torch_side import TorchStep

    config, arrays = load(name), random_batch(2, 64)
    ours = OurStep(config, "float32")
    torch_step = TorchStep(config, ours.models, ours.variables, "cpu")
    first = ours(jax.tree.map(jnp.asarray, arrays))
    total = float(torch_step.gradients(torch_step.put(arrays)))
    assert total == pytest.approx(first["total"], rel=1e-4)
    assert torch_step.gradient_norm() == pytest.approx(first["grad_norm"], rel=2e-2)
