"""Fixtures shared by all tests: the recorded cases, and a JAX that is strict about ranks."""

import contextlib
import json
import os
import pathlib
import tempfile

# Processes that tests start share what this one has compiled, and the other way round.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(tempfile.gettempdir()) / "ppocr_jax_test_cache")
)
# Nor do they leave anything in the user's own cache folder.
os.environ.setdefault(
    "PPOCR_JAX_CACHE", str(pathlib.Path(tempfile.gettempdir()) / "ppocr_jax_test_cache" / "own")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from fast import is_fast  # noqa: E402

from ppocr_jax.runtime import process  # noqa: E402

# With JAX's CUDA plugin but no GPU, JAX rejects the plugin unless the CPU was chosen before its
# first use, and then nothing can be compiled for a GPU either (`long` tests do that without one).
process.choose_platform()
jax.config.update("jax_numpy_rank_promotion", "raise")

DEFAULT = pathlib.Path(__file__).resolve().parents[1].parent / "shared"
NAMED = os.environ.get("PPOCR_JAX_SHARED")


def pytest_configure(config):
    if NAMED and not (pathlib.Path(NAMED) / "reference").is_dir():
        raise pytest.UsageError(f"PPOCR_JAX_SHARED={NAMED} holds no folder `reference`")


LONG = ("training", "test_devices.py", "test_train.py", "test_export.py", "test_configs.py",
        "test_torture.py")  # fmt: skip


@pytest.hookimpl(tryfirst=True)  # before `-m` looks at the marks
def pytest_collection_modifyitems(items):
    """Files that take minutes come first, so that no process is left alone with one at the end."""
    for item in items:
        if is_fast(item):
            item.add_marker("fast")
    items.sort(key=lambda item: not any(part in LONG for part in item.path.parts))


@pytest.fixture(params=["own", pytest.param("gpu", marks=pytest.mark.long)])
def platform(request):
    """What is traced takes the forms of this platform, and once more those of a GPU."""
    from ppocr_jax.runtime.platform import assume

    with contextlib.nullcontext() if request.param == "own" else assume(request.param):
        yield request.param


@pytest.fixture(scope="session")
def shared():
    """Gives the path of a recorded file, such as `shared("reference/losses.json")`.

    `reference/` is looked for in the named folder alone; `weights/` and `data/` there and then in
    the default folder. A file that is not there skips the test, by name.
    """

    def find(name):
        folders = [pathlib.Path(NAMED)] if NAMED else []
        if not NAMED or not name.startswith("reference"):
            folders.append(DEFAULT)
        for folder in folders:
            if (folder / name).exists():
                return folder / name
        pytest.skip(f"{name} is not among the recorded cases")

    return find


@pytest.fixture(scope="session")
def recorded(shared):
    """Reads a recorded file of `reference/`: `.json` to its value, `.npz` to a dict of arrays."""

    def read(name):
        path = shared(f"reference/{name}")
        if path.suffix == ".json":
            return json.loads(path.read_text())
        with np.load(path) as arrays:
            return {key: arrays[key] for key in arrays.files}

    return read


@pytest.fixture(scope="session")
def cases():
    """Passes a list of recorded cases through and fails when it is empty."""

    def check(listed):
        assert len(listed) > 0, "the list of recorded cases is empty"
        return listed

    return check
