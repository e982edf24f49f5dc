"""Keys derived on the host are JAX's own."""

import jax
import numpy as np
import pytest
from tiny import TINY

from ppocr_jax.models.detector import build_detector, init_variables
from ppocr_jax.models.keys import derive_on_host


@pytest.mark.parametrize("seed", [0, 7, 2**31 - 1])
@pytest.mark.parametrize("data", [0, 1, 123456789, 2**32 - 1])
def test_a_derived_key_is_that_of_jax(seed, data):
    key = jax.random.key(seed)
    data = np.uint32(data)
    ours = jax.jit(jax.random.fold_in)(derive_on_host(key), data)
    theirs = jax.random.fold_in(key, data)
    assert np.array_equal(jax.random.key_data(ours), jax.random.key_data(theirs))


def test_a_key_of_another_kind_stays_as_it_is():
    key = jax.random.key(0, impl="rbg")
    assert derive_on_host(key) is key


def test_initial_values_are_those_of_keys_that_jax_derives():
    model = build_detector(TINY)
    image = np.zeros((1, 32, 32, 3), np.float32)
    theirs = jax.jit(lambda key: model.init(key, image, train=True))(jax.random.key(5))
    ours = init_variables(model, jax.random.key(5))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
