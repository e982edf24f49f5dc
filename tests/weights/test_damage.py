"""Only damage moves a state aside: not a want of memory or of rights, nor a disk that fails."""

import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import ROOT

from ppocr_jax.errors import UserError
from ppocr_jax.training import checkpoints as module
from ppocr_jax.training.checkpoints import Checkpoints
from ppocr_jax.training.state import TrainState
from ppocr_jax.weights.damage import find_obstacle, find_shortage, find_unreadable


def make_state(step=1):
    params = {"student": {"kernel": np.arange(4096, dtype=np.float32)}}
    return TrainState(jnp.asarray(step), params, {"student": {}}, ())


@pytest.fixture
def workdir(tmp_path):
    """A workdir with the steps 1 and 2."""
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2):
            checkpoints.save(make_state(step), {"step": step})
            checkpoints.wait()
    return tmp_path


def restore(workdir, warn=print):
    with Checkpoints(workdir, warn) as checkpoints:
        return checkpoints.restore(jax.eval_shape(make_state))


def names(workdir):
    return sorted(path.name for path in (workdir / "checkpoints").iterdir())


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        PermissionError(13, "Permission denied"),
        OSError(5, "Input/output error"),
        OSError(116, "Stale file handle"),
        ValueError('PERMISSION_DENIED: Error opening local file "/data/1"'),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes"),
        ValueError("UNAVAILABLE: the store does not answer"),
    ],
    ids=lambda error: str(error)[:20],
)
def test_an_obstacle_moves_nothing(workdir, monkeypatch, error):
    def fail(*_):
        raise Exception("while reading") from error

    monkeypatch.setattr(Checkpoints, "_restore_step", fail)
    with pytest.raises(UserError, match="checkpoints/2 cannot be read now.*nothing was changed"):
        restore(workdir)
    assert names(workdir) == ["1", "2"]


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(2, "No such file"),
        ValueError('DATA_LOSS: Error reading "/permission denied/connection/out of memory"'),
        KeyError("value_type"),
    ],
    ids=["missing", "path", "key"],
)
def test_damage_is_no_obstacle(error):
    assert find_obstacle(error) == ""


def test_damage_moves_aside_when_a_step_before_it_is_whole(workdir):
    shutil.rmtree(workdir / "checkpoints" / "2" / "state" / "ocdbt.process_0")
    lines = []
    state, meta = restore(workdir, lines.append)
    assert int(state.step) == meta["step"] == 1
    assert names(workdir) == ["1", "2.unreadable"] and "checkpoint 2 cannot be read" in lines[0]


def test_nothing_is_moved_when_every_step_is_damaged(workdir):
    for step in (1, 2):
        (workdir / "checkpoints" / str(step) / "meta" / "metadata").write_text("{")
    with pytest.raises(UserError, match=r"none of the steps \[1, 2\] can be read; 2: .*; 1: "):
        restore(workdir)
    assert names(workdir) == ["1", "2"]


AS_ANOTHER_USER = """
import os, sys
import jax
from ppocr_jax.errors import UserError
from ppocr_jax.training.checkpoints import Checkpoints
from ppocr_jax.training.state import TrainState
workdir = sys.argv[1]
shape = jax.ShapeDtypeStruct((4096,), "float32")
params = {"student": {"kernel": shape}}
template = TrainState(jax.ShapeDtypeStruct((), "int32"), params, {"student": {}}, ())
if os.getuid() == 0:
    os.setuid(65534)
try:
    with Checkpoints(workdir) as checkpoints:
        checkpoints.restore(template)
except (UserError, OSError) as error:
    print(error)
"""


@pytest.mark.parametrize("hidden", ["2/state", "2/meta/metadata", "2/state/manifest.ocdbt"])
def test_a_folder_without_read_permission(workdir, hidden, monkeypatch):
    """As a user who is not root, whom no permission stops."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # that user could not write it
    for place in [workdir, *workdir.rglob("*")]:
        place.chmod(0o777)
    for parent in [workdir, *workdir.parents]:
        if parent.owner() == "root" and str(parent).startswith(str(workdir.parents[2])):
            parent.chmod(parent.stat().st_mode | 0o055)
    (workdir / "checkpoints" / hidden).chmod(0)
    done = subprocess.run(
        [sys.executable, "-c", AS_ANOTHER_USER, str(workdir)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "cannot be read now" in done.stdout and "denied" in done.stdout, done
    assert done.stdout.count("\n") == 1 and "Traceback" not in done.stderr
    assert names(workdir) == ["1", "2"]


def test_too_little_memory_is_said_before_anything_is_read(workdir, monkeypatch):
    monkeypatch.setattr(module, "COPIES", 1 << 40)
    with pytest.raises(
        UserError, match=r"checkpoints/2 cannot be read now \(reading it takes .* MiB of memory and"
    ):
        restore(workdir)
    assert names(workdir) == ["1", "2"]


def test_a_limit_of_the_process_counts():
    code = (
        "import resource\n"
        "from ppocr_jax.weights.damage import find_shortage\n"
        "print(find_shortage(1 << 30))\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))\n"
        "print(find_shortage(1 << 30))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    first, second = done.stdout.splitlines()
    assert first == "" and second.startswith("reading it takes 1024 MiB of memory and ")
    assert find_shortage(1) == ""


def test_files_that_can_be_read(workdir):
    assert find_unreadable(workdir) == ""
