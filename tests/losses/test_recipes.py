"""The objective and its terms by name, and pairs with their weights."""

import jax
import ml_collections
import numpy as np
import pytest

from configs import parts
from ppocr_jax.errors import UserError
from ppocr_jax.losses.distill import mutual_loss
from ppocr_jax.losses.pairs import weighted_pairs
from ppocr_jax.losses.recipes import make_loss


def recipe(**changes):
    return make_loss(ml_collections.ConfigDict({**parts.losses(labels=("a", "b")), **changes}))


def test_recipes_name_and_add_their_terms(case):
    maps, batch = case
    other = {name: 1.0 - value for name, value in maps.items()}
    all_maps = {"a": maps, "b": other, "t": {"shrink": maps["binary"]}}
    loss_fn = recipe(mutual=(("a", "b", 2.0),), teacher=(("a", "t"), ("b", "t", 0.5)))
    objective, losses = loss_fn(all_maps, batch)
    assert set(losses) == {
        "total", "teacher/a-t", "teacher/b-t", "mutual/a-b",
        *(f"db/{role}/{name}" for role in "ab" for name in ("shrink", "threshold", "binary")),
    }  # fmt: skip
    terms = sum(float(value) for name, value in losses.items() if name != "total")
    np.testing.assert_allclose(float(losses["total"]), terms, rtol=1e-6)
    assert objective == losses["total"]
    summed, _ = recipe(total="sum")(all_maps, batch)
    mean, _ = recipe()(all_maps, batch)
    np.testing.assert_allclose(summed, 2 * mean, rtol=1e-6)  # two images
    with pytest.raises(UserError, match="sum or mean"):
        recipe(total="max")


@pytest.mark.parametrize(("where", "learns"), [("labels", False), ("everywhere", True)])
def test_where_a_teacher_teaches(case, where, learns):
    maps, batch = case
    batch = batch | {"shrink_mask": batch["shrink_mask"].at[:, :8].set(0.0)}  # ignored words
    loss_fn = recipe(labels=(), teacher=(("a", "t"),), teacher_where=where)

    def objective(maps):
        return loss_fn({"a": maps, "t": {"shrink": maps["threshold"]}}, batch)[0]

    slopes = jax.grad(objective)(maps)
    assert bool(slopes["shrink"][:, :8].any()) == learns and slopes["shrink"][:, 8:].any()
    assert bool(slopes["binary"][:, :8].any()) == learns


def test_a_teacher_may_teach_by_its_map_itself(case):
    maps, batch = case
    teacher = {"shrink": maps["threshold"]}  # all that a frozen network draws
    loss_fn = recipe(labels=("a",), mutual=(("a", "t", 50.0),), total="mean")
    _, losses = loss_fn({"a": maps, "t": teacher}, batch)
    expected = 50.0 * mutual_loss(maps["shrink"], teacher["shrink"]).mean()
    np.testing.assert_allclose(losses["mutual/a-t"], expected, rtol=1e-6)


def test_an_unknown_act_is_named():
    with pytest.raises(UserError, match="tanh"):
        recipe(mutual_act="tanh")


def test_pairs_have_weight_one_unless_they_say_otherwise():
    pairs = weighted_pairs((("a", "b"), ("a", "c", 2)))
    assert pairs == [("a", "b", 1.0), ("a", "c", 2.0)] and weighted_pairs(()) == []
