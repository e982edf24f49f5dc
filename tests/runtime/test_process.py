import gc
import os
import subprocess
import sys
import types
import warnings

import jax
import numpy as np
import pytest

from ppocr_jax import devices
from ppocr_jax.runtime import process


def test_cpu_is_chosen_quietly_where_there_is_no_gpu(monkeypatch, capsys):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setattr(
        process.importlib.util, "find_spec", lambda name: name.endswith("13_plugin")
    )
    monkeypatch.setattr(process.glob, "glob", lambda pattern: [])
    monkeypatch.setattr(process.os.path, "exists", lambda path: False)
    monkeypatch.setattr(process.jax.config, "update", lambda *args: None)
    process.choose_platform()
    assert process.os.environ.pop("JAX_PLATFORMS") == "cpu"
    assert capsys.readouterr().err == "warning: no GPU found, running on the CPU\n"
    monkeypatch.setenv("JAX_PLATFORMS", "tpu")
    process.choose_platform()
    assert capsys.readouterr().err == ""


PROGRAM = """
import jax, jax.numpy as jnp
from ppocr_jax.runtime import process
process.prepare()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.jit(lambda x: (x @ x).sum())(jnp.ones((32, 32))).block_until_ready()
"""


@pytest.mark.parametrize("named", [None, "elsewhere", ""])
def test_compiled_programs_are_kept(tmp_path, named):
    """In the user's cache folder, in the one that JAX's own variable names, or nowhere."""
    environment = {**os.environ, "PPOCR_JAX_CACHE": str(tmp_path / "cache")}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    if named is not None:
        environment["JAX_COMPILATION_CACHE_DIR"] = named and str(tmp_path / named)
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True)
    kept = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("jit__lambda*-cache")}
    assert kept == {None: {"cache"}, "elsewhere": {"elsewhere"}, "": set()}[named]


def test_a_cache_that_cannot_be_written_is_said_and_left_alone(tmp_path):
    (tmp_path / "file").write_text("")
    environment = {**os.environ, "PPOCR_JAX_CACHE": str(tmp_path / "file" / "cache")}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert "compiled programs are not cached" in done.stderr
    assert "Traceback" not in done.stderr and "UserWarning" not in done.stderr


def test_a_batch_is_there_when_its_program_is_called():
    """On CPU: what has to wait for it would run in another thread, and map its memory anew."""
    mesh = jax.make_mesh((1,), ("data",), devices=jax.devices()[:1])
    for _ in range(5):
        batch = {"image": np.ones((4, 1000, 1000, 3), np.float32)}
        assert devices.put_batch(batch, mesh)["image"].is_ready()


def test_reads_that_fail_after_the_first_are_not_heard(monkeypatch):
    heard = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: heard.append(told.exc_type))
    process.ignore_late_ends()

    @types.coroutine
    def wait():
        yield

    async def read():
        try:
            await wait()
        finally:  # let go of while it waits, as Orbax does with the others when one has failed
            raise OSError("error while reading")

    read().send(None)
    assert heard == []

    class Other:
        def __del__(self):
            raise OSError("of something else")

    Other()
    assert heard == [OSError]


def test_writes_that_never_began_are_not_heard(monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", lambda told: None)

    async def write():
        return

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        write()
        gc.collect()
        assert len(heard) == 1  # what Python says of a coroutine that nobody asked
        process.ignore_late_ends()
        write()
        gc.collect()
    assert len(heard) == 1
