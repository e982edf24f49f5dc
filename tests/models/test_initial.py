"""Initial values: those of the keys that JAX derives, whatever way they are made."""

import flax
import jax
import numpy as np
import pytest
from tiny import TEACHER, TINY

from ppocr_jax.models import initial
from ppocr_jax.models.detector import build_detector, init_variables


def test_initial_values_are_those_of_keys_that_jax_derives():
    model = build_detector(TINY)
    image = np.zeros((1, 32, 32, 3), np.float32)
    theirs = jax.jit(lambda key: model.init(key, image, train=True))(jax.random.key(5))
    ours = init_variables(model, jax.random.key(5))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_values_differ_by_key_and_tensor():
    model = build_detector(TINY)
    one, other = (init_variables(model, jax.random.key(seed))["params"] for seed in (0, 1))
    one, other = (flax.traverse_util.flatten_dict(tree) for tree in (one, other))
    kernels = [path for path in one if path[-1] == "kernel"]
    assert not any(np.array_equal(one[path], other[path]) for path in kernels)
    firsts = {float(one[path].ravel()[0]) for path in kernels}
    assert len(firsts) == len(kernels)


def test_keys_of_another_kind_do():
    model = build_detector(TINY)
    variables = init_variables(model, jax.random.key(0, impl="rbg"))
    shapes = jax.eval_shape(lambda: init_variables(model, jax.random.key(0)))
    assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, shapes)


@pytest.mark.parametrize(
    ("init", "shape", "bound", "deviation"),
    [
        (initial.fan_in_normal, (3, 3, 32, 64), None, (2 / 288) ** 0.5),
        (initial.kaiming_uniform, (3, 3, 32, 64), (6 / 288) ** 0.5, (2 / 288) ** 0.5),
        (initial.kaiming_uniform_transposed, (2, 2, 64, 32), (6 / 128) ** 0.5, (2 / 128) ** 0.5),
        (initial.symmetric_uniform(0.3), (8192,), 0.3, 0.3 / 3**0.5),
    ],
)
def test_distributions(init, shape, bound, deviation):
    values = np.asarray(init(jax.random.key(0), shape))
    assert values.dtype == np.float32 and values.shape == shape
    assert abs(values.mean()) < 5 * deviation / values.size**0.5
    np.testing.assert_allclose(values.std(), deviation, rtol=0.03)
    if bound:
        assert 0.99 * bound < abs(values).max() <= bound


def test_statistics_start_as_the_identity():
    stats = init_variables(build_detector(TEACHER), jax.random.key(0))["batch_stats"]
    for path, value in flax.traverse_util.flatten_dict(stats).items():
        np.testing.assert_array_equal(value, 0.0 if path[-1] == "mean" else 1.0)
