"""The files of this folder are what their script makes, and small."""

import ast

import numpy as np
import pytest
from golden_files import FOLDER, read
from make import FILES


@pytest.mark.parametrize("make", FILES, ids=lambda make: make.__name__)
def test_the_script_makes_the_file(make):
    made, kept = make(), read(make.__name__)
    assert made.keys() == kept.keys()
    for key, value in made.items():
        assert kept[key].dtype == np.asarray(value).dtype, key
        # Sums are in another order on another processor; central differences enlarge that.
        rough = "grad" in key or kept[key].dtype == np.float32
        limit = dict(rtol=1e-6, atol=1e-7) if rough else dict(rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(value, kept[key], **limit, err_msg=key)


def test_they_are_small_and_independent():
    assert sum(path.stat().st_size for path in FOLDER.glob("*.npz")) < 300_000
    assert {path.stem for path in FOLDER.glob("*.npz")} == {make.__name__ for make in FILES}
    allowed = {"functools", "math", "numpy", "pathlib", "random", "sys"}
    allowed |= {path.stem for path in FOLDER.glob("plain_*.py")}
    for path in [*FOLDER.glob("plain_*.py"), FOLDER / "make.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert {name.partition(".")[0] for name in names} <= allowed, (path.name, names)
