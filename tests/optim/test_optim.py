"""Rate and optimiser: the closed form, and plain NumPy's Adam with coupled L2."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from ppocr_jax.optim import make_optimizer
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


def test_adam_with_coupled_decay():
    config = ml_collections.ConfigDict({"b1": 0.9, "b2": 0.999, "eps": 1e-8, "l2": 0.1})
    tx = make_optimizer(config, lambda step: 0.01)
    rng = np.random.default_rng(0)
    theta = rng.normal(size=5)
    params = {"w": jnp.asarray(theta, jnp.float32)}
    state, m, v = tx.init(params), np.zeros(5), np.zeros(5)
    for t in range(1, 6):
        grad = rng.normal(size=5)
        updates, state = tx.update({"w": jnp.asarray(grad, jnp.float32)}, state, params)
        params = jax.tree.map(jnp.add, params, updates)
        g = grad + 0.1 * theta  # the decay joins the gradient, for every parameter
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        theta = theta - 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(params["w"], theta, rtol=1e-5)
