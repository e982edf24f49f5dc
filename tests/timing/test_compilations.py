"""What is said while programs are compiled: by JAX's own events, against real compilations."""

import json
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ppocr_jax.timing import compilations, remembered


@pytest.fixture(autouse=True)
def own_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("PPOCR_JAX_CACHE", str(tmp_path / "cache"))


def test_the_first_time_and_the_next(monkeypatch):
    lines, key = [], remembered.make_key(program="a test")
    lower = jax.jit(lambda x: jnp.tanh(x) @ x).lower
    for _ in range(2):
        compiled, words = compilations.compile_step(
            lambda: lower(jnp.ones((3, 3))), key, lines.append
        )
        assert words.startswith("ready in ") and "s: traced in " in words
        assert compiled(jnp.ones((3, 3))).shape == (3, 3)
    assert lines[0].startswith("compiling the update for these networks")
    assert lines[1].startswith("compiling the update, which took 0 s last time")


def test_a_hit_of_the_cache_is_told_by_jax_itself(monkeypatch):
    least = "jax_persistent_cache_min_compile_time_secs"
    before, number = getattr(jax.config, least), time.time_ns() % 2**20
    jax.config.update(least, 0.0)
    try:
        seen = []
        for _ in range(2):  # two functions of the same text: JAX itself remembers by function
            x = np.ones(4, np.float32)
            with compilations.Watch() as watch:
                jax.jit(lambda x: x * 2 + number)(x)
            seen.append((watch.programs, watch.cached))
            assert watch.seconds > 0
    finally:
        jax.config.update(least, before)
    assert seen == [(1, False), (1, True)]


class Impatient:
    """A timer whose time is up as soon as it starts."""

    def __init__(self, seconds, call):
        self.start = call

    def cancel(self):
        pass


def test_only_a_long_compilation_is_told(monkeypatch, capfd):
    function, facts = jax.jit(lambda x: jnp.cos(x) * 3), {"program": "another test"}
    with compilations.told_when_long("the test", lambda: facts):
        function(np.ones(5, np.float32))
    assert capfd.readouterr().err == ""
    monkeypatch.setattr(compilations.threading, "Timer", Impatient)
    for size, took in ((6, ""), (7, " (it took 1 s last time)")):
        x = np.ones(size, np.float32)
        with compilations.told_when_long("the test", lambda: facts) as watch:
            function(x)
            assert watch.programs == 1
        first, second = capfd.readouterr().err.splitlines()
        assert first == f"compiling the test{took}"
        assert second.startswith(("compiled in ", "read from the cache in "))
        remembered.remember(remembered.make_key(**facts), compile_s=1.0)
    with compilations.told_when_long("the test", lambda: facts) as watch:
        function(np.ones(7, np.float32))
    assert not watch.programs and capfd.readouterr().err == ""


def test_the_alarm_is_off_while_it_compiles_and_on_again(monkeypatch):
    levels = []
    monkeypatch.setattr(compilations.jaxlib.utils, "absl_set_min_log_level", levels.append)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "1")
    with pytest.raises(ValueError), compilations.without_alarm():
        with compilations.without_alarm():
            raise ValueError
    assert levels == [3, 3, 3, 1]
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")  # asks for all messages
    with compilations.without_alarm():
        pass
    assert len(levels) == 4


def test_what_cannot_be_remembered_is_not(tmp_path, monkeypatch):
    key = remembered.make_key(a=1)
    assert key == remembered.make_key(a=1) != remembered.make_key(a=2)
    remembered.remember(key, compile_s=2.5)
    remembered.remember(key, step_s=0.5)
    assert {"compile_s": 2.5, "step_s": 0.5}.items() <= remembered.recall(key).items()
    path = tmp_path / "cache" / remembered.NAME
    for content in ("[1]", "{", {key: 7}, {key: {"compile_s": "long"}}):
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        assert "compile_s" not in remembered.recall(key)
    monkeypatch.setattr(remembered, "MOST", 2)
    for number in range(4):
        remembered.remember(str(number), compile_s=1.0)
    assert len(remembered.read()) == 2
    path.unlink()
    path.mkdir()  # in the file's place
    remembered.remember(key, compile_s=1.0)
    assert remembered.recall(key) == {}
