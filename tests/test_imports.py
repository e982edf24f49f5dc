"""What imports leave out: a config is read without JAX, a run trains without pictures or HTTP."""

import subprocess
import sys

import pytest
from tiny import ROOT

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


@pytest.mark.parametrize("code", ["import ppocr_jax.config", "import ppocr_jax.cli", CHECK_ALL])
def test_configs_are_checked_without_jax(code):
    assert loaded(code) == set()


def test_the_trainer_imports_no_tool_that_it_may_not_need():
    assert loaded("import ppocr_jax.train") == {"jax", "flax", "orbax"}
