"""The rate by step: the recorded one and its closed form."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from ppocr_jax.errors import UserError
from ppocr_jax.optim.schedule import make_schedule, warmup_cosine


def test_schedule_matches_reference(recorded, cases):
    for run in cases(recorded("lr_schedule.json")):
        config = ml_collections.ConfigDict(
            {"learning_rate": run["base_lr"], "warmup_epochs": run["warmup_epoch"]}
        )
        per_epoch = run["step_each_epoch"]
        rate = make_schedule(config, run["epochs"] * per_epoch, per_epoch)
        for step, expected in cases(run["step_lr"]):
            np.testing.assert_allclose(rate(int(step)), expected, rtol=1e-9, atol=1e-15)


def test_schedule_by_hand():
    rate = warmup_cosine(1e-3, 10, 4)
    assert rate(0) == 0.0 and rate(2) == 5e-4 and rate(4) == 1e-3
    assert 0 < rate(9) < 1e-3 and rate(9) == 0.5e-3 * (1 + np.cos(np.pi * 5 / 10))
    np.testing.assert_allclose(jax.jit(rate)(jnp.int32(7)), rate(7), rtol=1e-6)
    assert warmup_cosine(1e-3, 10, 0)(0) == 1e-3


def test_warmup_is_rounded_half_to_even():
    config = ml_collections.ConfigDict({"learning_rate": 1.0, "warmup_epochs": 0.5})
    assert make_schedule(config, 100, 5)(1) == 0.5  # 2.5 steps become 2


@pytest.mark.parametrize("key", ["epochs", "warmup_epochs"])
def test_more_updates_than_can_be_counted_are_refused(key):
    config = ml_collections.ConfigDict({"learning_rate": 1.0, "warmup_epochs": 0.0, "epochs": 1})
    config[key] = type(config[key])(10**6)
    with pytest.raises(UserError, match=f"config.{key}=1000000.*10000 updates an epoch"):
        make_schedule(config, config.epochs * 10**4, 10**4)
