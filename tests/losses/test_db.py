"""Losses of one network: what mathematics says of them, and slow plain forms."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from configs import parts
from ppocr_jax.errors import UserError
from ppocr_jax.losses import MAIN_LOSSES, db
from ppocr_jax.losses.recipes import make_loss


def test_dice_is_zero_on_a_perfect_match_and_one_without_text(case):
    _, batch = case
    target, mask = batch["shrink_map"], batch["shrink_mask"]
    assert float(db.dice_loss(target, target, mask)) == pytest.approx(0, abs=1e-6)
    assert float(db.dice_loss(target, jnp.zeros_like(target), mask)) == 1.0
    assert float(db.dice_loss(target, target, jnp.zeros_like(mask))) == 1.0


@pytest.mark.parametrize("main", MAIN_LOSSES)
def test_masked_pixels_do_not_teach(case, main):
    maps, batch = case
    grads = jax.grad(
        lambda p: db.balanced_loss(p, batch["shrink_map"], batch["shrink_mask"], MAIN_LOSSES[main])
    )(maps["shrink"])
    np.testing.assert_array_equal(grads[batch["shrink_mask"] == 0], 0.0)
    assert (grads != 0).any()


def plain_balanced_bce(pred, target, mask, ratio):
    """Hard negatives by sorting, one number after the other."""
    pred, target, mask = (np.asarray(x, np.float64) for x in (pred, target, mask))
    loss = -(target * np.log(pred) + (1 - target) * np.log(1 - pred))
    positive, negative = target * mask, (1 - target) * mask
    count = int(positive.sum())
    hard = int(min(negative.sum(), count * ratio))
    top = np.sort((negative * loss).ravel())[::-1][:hard].sum()
    return ((positive * loss).sum() + top) / (count + hard + 1e-6)


@pytest.mark.parametrize("ratio", [0.5, 1.0, 3.0, 100.0])
def test_hard_negatives_equal_the_plain_form(case, ratio):
    maps, batch = case
    arguments = maps["shrink"], batch["shrink_map"], batch["shrink_mask"]
    actual = db.balanced_loss(*arguments, db.binary_cross_entropy, ratio)
    np.testing.assert_allclose(actual, plain_balanced_bce(*arguments, ratio), rtol=1e-5)


def test_balanced_dice_is_dice_or_zero(case):
    maps, batch = case
    target, mask = batch["shrink_map"], batch["shrink_mask"]
    plain = db.dice_loss(maps["shrink"], target, mask)
    np.testing.assert_allclose(db.balanced_loss(maps["shrink"], target, mask), plain, rtol=1e-5)
    nothing = jnp.zeros_like(target)
    assert float(db.balanced_loss(maps["shrink"], nothing, mask)) == 0.0
    grads = jax.grad(lambda p: db.balanced_loss(p, nothing, mask))(maps["shrink"])
    assert not grads.any()


def test_sorting_a_fractional_mask_gives_the_largest(case):
    maps, batch = case
    half = batch["shrink_mask"] * 0.5
    loss = db.dice_loss(maps["shrink"], batch["shrink_map"], half)
    positive = np.asarray(batch["shrink_map"] * half)
    negative = np.asarray((1 - batch["shrink_map"]) * half)
    count = np.floor(positive.sum())
    hard = int(min(np.floor(negative.sum()), 3 * count))
    top = np.sort(negative.ravel())[::-1][:hard].sum()
    expected = loss * (positive.sum() + top) / (count + hard + 1e-6)
    actual = db.balanced_loss(maps["shrink"], batch["shrink_map"], half)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_unbalanced_choices(case):
    maps, batch = case
    arguments = maps["shrink"], batch["shrink_map"], batch["shrink_mask"]

    def shrink_loss(main):
        config = ml_collections.ConfigDict({**parts.losses(labels=()), "balance": False})
        config.main = main
        return db.make_shrink_loss(config)(*arguments)

    assert shrink_loss("dice") == db.dice_loss(*arguments)
    assert shrink_loss("mask_l1") == db.masked_l1_loss(*arguments)
    bce = db.binary_cross_entropy(*arguments[:2]).mean()
    assert shrink_loss("bce") == bce
    with pytest.raises(UserError, match=f"focal: choose one of {MAIN_LOSSES}"):
        shrink_loss("focal")


def test_weights_are_in_the_named_losses(case):
    maps, batch = case
    one = db.db_loss(maps, batch, alpha=1.0, beta=1.0)
    weighted = db.db_loss(maps, batch, alpha=5.0, beta=10.0)
    np.testing.assert_allclose(weighted["shrink"], 5 * one["shrink"], rtol=1e-6)
    np.testing.assert_allclose(weighted["threshold"], 10 * one["threshold"], rtol=1e-6)
    assert weighted["binary"] == one["binary"]


def tversky_loss(pred, target, mask):
    """1 - hits / (hits + 0.3 false + 0.7 missed): misses cost more than false text."""
    hits = (pred * target * mask).sum()
    false, missed = (pred * (1 - target) * mask).sum(), ((1 - pred) * target * mask).sum()
    return 1.0 - hits / (hits + 0.3 * false + 0.7 * missed + 1e-6)


def test_a_new_loss_is_a_function_and_its_line(case, monkeypatch):
    """As if `db.py` held it and the table named it: a step's gradient comes from it."""
    monkeypatch.setattr(db, "tversky_loss", tversky_loss, raising=False)
    monkeypatch.setitem(MAIN_LOSSES._places, "tversky", "db.tversky_loss")
    maps, batch = case
    target, mask = batch["shrink_map"], batch["shrink_mask"]
    loss_fn = make_loss(
        ml_collections.ConfigDict({**parts.losses(labels=("a",)), "main": "tversky"})
    )
    grads, losses = jax.jit(jax.grad(loss_fn, has_aux=True))({"a": maps}, batch)
    expected = 5 * tversky_loss(maps["shrink"], target, mask)
    np.testing.assert_allclose(losses["db/a/shrink"], expected, rtol=1e-5)
    expected = jax.grad(lambda p: 5 * tversky_loss(p, target, mask))(maps["shrink"])
    np.testing.assert_allclose(grads["a"]["shrink"], expected, rtol=1e-4, atol=1e-9)
    assert (expected[(mask == 1) & (target == 1)] < 0).all()  # more text where text is
    better = {"a": jax.tree.map(lambda x, g: x - 0.1 * g, maps, grads["a"])}
    assert loss_fn(better, batch)[0] < loss_fn({"a": maps}, batch)[0]
