"""Sums that keep their rounding errors, and the statistics of batch norm computed with them."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ppocr_jax.kernels.batch_norm import statistics
from ppocr_jax.kernels.exact import centre, sum_pairs, two_product, two_sum
from ppocr_jax.runtime.platform import assume


@pytest.mark.parametrize("large", [1.0, 1e6])
@pytest.mark.parametrize(
    ("keep", "exact"), [(two_sum, lambda a, b: a + b), (two_product, lambda a, b: a * b)]
)
def test_the_error_of_rounding_is_kept(keep, exact, large):
    random = np.random.default_rng(0)
    a = (large * random.standard_normal(200)).astype(np.float32)
    b = random.standard_normal(200).astype(np.float32)
    rounded, error = map(np.asarray, jax.jit(keep)(a, b))
    assert (error != 0).any()
    for one, other, value, lost in zip(a, b, rounded, error, strict=True):
        expected = exact(Fraction(float(one)), Fraction(float(other)))
        assert Fraction(float(value)) + Fraction(float(lost)) == expected


def test_sums_keep_what_cancels():
    values = np.array([1e8, 1.5, -1e8, 0.25], np.float32).reshape(4, 1)
    ((total, error),) = jax.jit(lambda x: sum_pairs((x,), (0,)))(values)
    assert total + error == 1.75
    assert jnp.sum(values) != 1.75  # so that the errors matter here


def test_centre_is_exact_far_from_zero():
    values = np.float32(4000) + np.random.default_rng(0).standard_normal(999).astype(np.float32)
    wide = values.astype(np.float64)
    mean, spread = jax.jit(centre)(pair(wide.sum()), pair((wide**2).sum()), values.size)
    np.testing.assert_allclose(mean, wide.mean(), rtol=1e-7)
    np.testing.assert_allclose(spread, wide.var() * wide.size, rtol=1e-6)


def pair(value):
    """Two float32 that add up to a float64, but for its last digits."""
    return np.float32(value), np.float32(value - np.float32(value))


@pytest.mark.parametrize(("away", "limit"), [(0, 1e-6), (10, 3e-5)])
def test_one_pass_is_as_good_as_two(away, limit):
    """The variance in one pass, with a shift that is many standard deviations off."""
    random = np.random.default_rng(0)
    x = (random.standard_normal(6) + random.standard_normal((2, 96, 80, 6))).astype(np.float32)
    wide = x.astype(np.float64)
    with assume("gpu"):
        mean, var = jax.jit(statistics)(x, x.mean((0, 1, 2)) + np.float32(away))
    np.testing.assert_allclose(mean, wide.mean((0, 1, 2)), atol=limit)
    np.testing.assert_allclose(var, wide.var((0, 1, 2)), rtol=limit)
