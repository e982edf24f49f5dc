"""What imports leave out: a config is read without JAX, a run trains without pictures or HTTP."""

import subprocess
import sys

import pytest
from tiny import ROOT, draw_data, write_config

HEAVY = ("jax", "flax", "orbax", "onnxruntime", "requests", "matplotlib")
CHECK_ALL = """
from ppocr_jax import cli, config
import pathlib
for path in sorted(pathlib.Path("configs").glob("*.py")):
    if path.stem not in ("parts", "__init__"):
        config.check(cli.parse(cli.parser(""), ["--config", str(path)])[1])
"""


def loaded(code):
    """Which of the heavy packages a fresh process holds after `code`."""
    code += f"\nimport sys; print('loaded', *[name for name in {HEAVY} if name in sys.modules])"
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=True).stdout
    return set(out.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    "code", ["import ppocr_jax", "import ppocr_jax.config", "import ppocr_jax.cli", CHECK_ALL]
)
def test_configs_are_checked_without_jax(code):
    assert loaded(code) == set()


def test_the_trainer_imports_no_tool_that_it_may_not_need():
    assert loaded("import ppocr_jax.train") == {"jax", "flax", "orbax"}


def test_a_run_from_a_pdparams_needs_them_neither(tmp_path):
    path = write_config(tmp_path, draw_data(tmp_path / "data"))
    run = f"""
import sys; sys.path.insert(0, "tests")
import jax
from tiny import TINY, load_config
from ppocr_jax.models.detector import build_detector, init_variables
from ppocr_jax.training.loop import train
from ppocr_jax.weights.paddle import to_paddle
from ppocr_jax.weights.pdparams import write_pdparams
from ppocr_jax.runtime import process
import ppocr_jax.train

process.prepare()
variables = jax.device_get(init_variables(build_detector(TINY), jax.random.key(0)))
write_pdparams({str(tmp_path / "w.pdparams")!r}, to_paddle(variables))
config = load_config({str(path)!r}, "steps=2", "init_from.student={tmp_path}/w.pdparams")
train(config, {str(tmp_path / "run")!r})
"""
    assert loaded(run) == {"jax", "flax", "orbax"}
