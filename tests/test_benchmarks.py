"""The benchmark command on drawn data, at its smallest."""

import importlib.util
import json

import jax
import jax.numpy as jnp
import pytest

from experiments.benchmarks import __main__ as benchmarks
from experiments.benchmarks.measure import draw_batch
from experiments.benchmarks.steps import OurStep, load


def test_host_parts_are_measured(tmp_path, capsys):
    output = tmp_path / "numbers.json"
    parts = ["operations", "data", "postprocess", "metric"]
    assert benchmarks.main(["--only", *parts, "--quick", "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    record = json.loads(output.read_text())
    assert {row["part"] for row in record["rows"]} == set(parts)
    assert all(row["value"] > 0 and row["unit"] for row in record["rows"])
    assert record["machine"]["cores"] >= 1 and "| metric |" in printed


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
@pytest.mark.parametrize("name", ["student", "CML"])
def test_pytorch_makes_the_same_update(name):
    from experiments.benchmarks.torch_side import TorchStep

    config, arrays = load(name), draw_batch(2, 64)
    ours = OurStep(config, "float32")
    torch_step = TorchStep(config, ours.models, ours.variables, "cpu")
    first = ours(jax.tree.map(jnp.asarray, arrays))
    total = float(torch_step.gradients(torch_step.put(arrays)))
    assert total == pytest.approx(first["total"], rel=1e-4)
    assert torch_step.gradient_norm() == pytest.approx(first["grad_norm"], rel=2e-2)
