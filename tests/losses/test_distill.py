"""Losses between networks: symmetry, dilation, and who gets no gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ppocr_jax.losses import MUTUAL_ACTS
from ppocr_jax.losses.distill import dilate, mutual_loss, teacher_loss


def test_dilate_grows_right_and_down():
    mask = np.zeros((1, 4, 5), np.float32)
    mask[0, 1, 2] = mask[0, 3, 4] = 1
    grown = np.asarray(dilate(jnp.asarray(mask)))
    assert sorted(zip(*np.nonzero(grown[0]), strict=True)) == [
        (1, 2), (1, 3), (2, 2), (2, 3), (3, 4),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="shape"):
        dilate(jnp.zeros((4, 5)))


def test_mutual_loss_is_symmetric_and_small_between_equals(case):
    maps, _ = case
    p, q = maps["shrink"], maps["binary"]
    np.testing.assert_allclose(mutual_loss(p, q), mutual_loss(q, p), rtol=1e-6)
    assert (abs(mutual_loss(p, p)) < 1e-4).all() and (mutual_loss(p, q) > 1e-3).all()
    grads = jax.grad(lambda a, b: mutual_loss(a, b).sum(), (0, 1))(p, q)
    assert all((g != 0).any() for g in grads)
    assert (mutual_loss(p, q, MUTUAL_ACTS["softmax"]) < 0.1 * mutual_loss(p, q)).all()


def test_teacher_gets_no_gradient(case):
    maps, batch = case
    grads = jax.grad(lambda t: teacher_loss(maps, t, batch["shrink_mask"]))(maps["threshold"])
    assert not grads.any()
