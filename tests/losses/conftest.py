"""Maps and targets that the losses are tried on."""

import jax.numpy as jnp
import numpy as np
import pytest


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    target = (rng.random((2, 16, 16)) < 0.3).astype(np.float32)
    mask = (rng.random((2, 16, 16)) < 0.8).astype(np.float32)
    maps = {name: jnp.asarray(rng.uniform(0.05, 0.95, (2, 16, 16)), jnp.float32)
            for name in ("shrink", "threshold", "binary")}  # fmt: skip
    batch = {
        "shrink_map": jnp.asarray(target),
        "shrink_mask": jnp.asarray(mask),
        "threshold_map": jnp.asarray(rng.uniform(0.3, 0.7, (2, 16, 16)), jnp.float32),
        "threshold_mask": jnp.asarray(mask),
    }
    return maps, batch
