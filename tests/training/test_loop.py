"""The loop beside a stand-in of a device: what it adds to an update, and what waiting it logs."""

import statistics

import numpy as np
import pytest
from tiny import draw_data, load_config, write_config

from experiments.benchmarks import feeding
from experiments.benchmarks.feeding import CASES, STEP_S, StandIn, run_loop, shares_of
from ppocr_jax import devices
from ppocr_jax.training import feed

TRIES = 3  # this is about time, and other programs may have the processor


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loop")
    config = load_config(write_config(folder, draw_data(folder / "data")))
    config.log.every_steps, config.log.writers = 5, ()
    config.save.every_steps = config.eval.every_steps = 0
    return config


def test_an_update_costs_the_host_little_beside_the_device(config):
    """At the most usual size; copies apart, since this machine's processors would make them."""
    config.crop, config.steps = 64, 20
    batch = feeding._draw(config, 4)
    large = {
        "image": np.broadcast_to(batch["image"][:1, :1, :1], (32, 640, 640, 3)),
        **{name: batch[name] for name in ("record", "failures", "textless")},
    }
    for _ in range(TRIES):
        device = StandIn(STEP_S)
        run_loop(config, large, device)
        added = statistics.median(np.diff(device.sent[2:])) - STEP_S
        if added <= 0.003:
            break
    assert added <= 0.003


@pytest.mark.parametrize("case", CASES)
def test_what_is_logged_of_waiting_is_what_the_device_waited(config, case):
    config.crop, config.steps = 64, 15
    batch = feeding._draw(config, 4)
    for _ in range(TRIES):
        device = StandIn(STEP_S)
        records = run_loop(config, batch, device, **CASES[case])
        assert [record["step"] for record in records] == [5, 10, 15]
        logged, true = shares_of(records, device, 5)
        if abs(logged - true) <= 0.05:
            break
    assert logged == pytest.approx(true, abs=0.05)
    assert (true > 0.3) == (case != "slow update")


def test_batches_come_over_while_updates_run(config):
    config.crop, config.steps = 64, 10
    batch, mesh, seen = feeding._draw(config, 4), devices.make_mesh(config), []

    class Looking(StandIn):
        def __call__(self, state, arrays):
            seen.append(np.asarray(arrays["image"]))
            return super().__call__(state, arrays)

    run_loop(config, batch, Looking(0.01), put=lambda batch: feed.put_packed(batch, mesh))
    assert len(seen) == 10
    assert all(np.array_equal(image, batch["image"]) for image in seen)
