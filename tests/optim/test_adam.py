"""The optimiser against plain NumPy's Adam with coupled L2."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from ppocr_jax.errors import UserError
from ppocr_jax.optim import make_optimizer


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


def test_an_unknown_optimiser_is_named():
    config = ml_collections.ConfigDict({"name": "lion"})
    with pytest.raises(UserError, match=r"optimizer.name=lion: choose one of adam"):
        make_optimizer(config, lambda step: 0.01)
