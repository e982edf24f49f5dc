"""Batches on their way to the devices: their values, their order, their end."""

import os
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest
from tiny import ROOT, draw_data, load_config, write_config

from ppocr_jax import devices
from ppocr_jax.data.compact import MAPS
from ppocr_jax.data.labels import read_sources
from ppocr_jax.data.pipeline import Supply, make_batches
from ppocr_jax.errors import UserError
from ppocr_jax.training import feed
from ppocr_jax.training.feed import Feed


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("feed")
    return load_config(write_config(folder, draw_data(folder / "data")))


def batches_of(config, count, supply=None):
    sources = read_sources(config.data.train, config.data.root)
    return make_batches(sources, config, 0, count, supply=supply)


def test_unpacked_on_the_device_or_on_the_host_is_the_same(config):
    mesh = devices.mesh_of(jax.devices()[:1])
    with batches_of(config, 2) as batches:
        for batch in batches:
            here, there = feed.put(batch, mesh), feed.put_packed(batch, mesh)
            assert here.keys() == there.keys() == {"image", *MAPS}
            for name in here:
                assert here[name].dtype == there[name].dtype
                assert here[name].sharding == there[name].sharding
                assert np.asarray(here[name]).tobytes() == np.asarray(there[name]).tobytes(), name


def test_several_devices_get_their_parts(tmp_path):
    path = write_config(tmp_path, draw_data(tmp_path / "data", train=4, val=1))
    env = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
    }
    command = [sys.executable, str(ROOT / "tests" / "feed_worker.py"), str(path)]
    done = subprocess.run(command, env=env, cwd=ROOT, text=True, capture_output=True)
    assert done.returncode == 0 and "5 arrays are the same" in done.stdout, done.stderr


@pytest.mark.parametrize("workers", [0, 1])
def test_a_thread_changes_nothing_and_ends(config, workers):
    supply = Supply(workers)

    def put(batch):
        return {"image": batch["image"].copy()}

    with Feed(batches_of(config, 5, supply), put, 0) as one:
        wanted = list(one)
    with Feed(batches_of(config, 5, supply), put, 1) as other:
        found = list(other)
        with pytest.raises(StopIteration):
            next(other)
    assert len(found) == len(wanted) == 5
    for (facts, arrays), (facts_, arrays_) in zip(wanted, found, strict=True):
        np.testing.assert_array_equal(facts["record"], facts_["record"])
        np.testing.assert_array_equal(arrays["image"], arrays_["image"])
    before = threading.active_count()
    with Feed(batches_of(config, 500, supply), put, 1) as early:
        next(early)
        assert early._thread.is_alive()
    early.close()  # nothing the second time
    assert not early._thread.is_alive()
    until = (
        time.monotonic() + 10
    )  # the batches' own threads end when they have made what they were at
    while threading.active_count() > before:
        assert time.monotonic() < until
        time.sleep(0.01)


class Source:
    """Batches that can be closed."""

    def __init__(self, batches):
        self._batches = batches

    def __iter__(self):
        return iter(self._batches)

    def close(self):
        pass


def test_what_goes_wrong_comes_in_its_place():
    def broken():
        yield {"record": 0, "failures": [], "textless": 0}
        raise UserError("no such picture")

    with Feed(Source(broken()), lambda batch: {}, 1) as batches:
        assert next(batches)[0]["record"] == 0
        for _ in range(2):
            with pytest.raises(UserError, match="no such picture"):
                next(batches)


def test_copies_are_made_under_the_updates():
    facts = {"record": 0, "failures": [], "textless": 0}

    def put(batch):
        time.sleep(0.05)
        return {}

    with Feed(Source([facts] * 6), put, 1) as batches:
        next(batches)
        started = time.perf_counter()
        for _ in range(5):
            time.sleep(0.06)  # an update
            next(batches)
    assert time.perf_counter() - started < 5 * (0.06 + 0.05) - 0.05
