"""What a wheel holds: the package with its configs inside, and nothing at the top beside it."""

import importlib.metadata
import shutil
import subprocess
import sys
import zipfile

import pytest
from tiny import ROOT


def test_the_wheel_carries_the_configs_and_no_stray_package(tmp_path):
    try:
        version = importlib.metadata.version("setuptools")
    except importlib.metadata.PackageNotFoundError:
        version = "0"
    if int(version.partition(".")[0]) < 77:
        pytest.skip("setuptools of 77 or newer is not installed: a build would need the network")
    source = tmp_path / "source"
    leave = shutil.ignore_patterns(
        "__pycache__", "*.egg-info", ".venv", ".git", ".mypy_cache", "runs", "build"
    )
    shutil.copytree(ROOT, source, ignore=leave)  # a build leaves its own folders behind
    code = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    command = [sys.executable, "-c", code, str(tmp_path)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [points] = [name for name in names if name.endswith("entry_points.txt")]
        assert "ppocr-jax = ppocr_jax.__main__:main" in archive.read(points).decode()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"ppocr_jax"}
    shipped = {path.name for path in (ROOT / "configs").glob("*.py")}
    assert {f"ppocr_jax/configs/{name}" for name in shipped} <= set(names)
    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / "ppocr_jax").rglob("*.py")}
    assert code <= set(names) and any(name.endswith(".html") for name in names)
    assert "ppocr_jax/py.typed" in names  # type checkers take a package's types by it
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
