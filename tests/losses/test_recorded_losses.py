"""Losses and their gradients against the values recorded from the original."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from configs import parts
from ppocr_jax.losses import MAIN_LOSSES, db
from ppocr_jax.losses.distill import dilate, mutual_loss
from ppocr_jax.losses.recipes import make_loss

ROLES = ("Student", "Student2", "Teacher")
PAIRS = (("Student", "Student2"),)
TAUGHT = (("Student", "Teacher"), ("Student2", "Teacher"))


def case_arrays(arrays, case):
    """`(maps by role, batch)` of one recorded case."""
    channels = ("shrink", "threshold", "binary")
    maps = {
        role: {
            name: jnp.asarray(arrays[f"{case}/maps_{role}"][:, i])
            for i, name in enumerate(channels)
        }
        for role in ROLES
    }
    names = ("threshold_map", "threshold_mask", "shrink_map", "shrink_mask")
    batch = {name: jnp.asarray(arrays[f"{case}/{name}"], jnp.float32) for name in names}
    return maps, batch


def recipe(labels=(), mutual=(), teacher=(), **changes):
    config = ml_collections.ConfigDict(
        {**parts.losses(labels=labels, mutual=mutual, teacher=teacher), **changes}
    )
    return make_loss(config)


def single(function):
    """A loss of the student's shrink map alone as a recipe with one name."""

    def loss_fn(maps, batch):
        value = function(maps["Student"], batch)
        return value, {"total": value, "only": value}

    return loss_fn


BOTH = ("Student", "Student2")
RECIPES = {
    "dice_shrink": single(
        lambda m, b: db.dice_loss(m["shrink"], b["shrink_map"], b["shrink_mask"])
    ),
    "dice_binary": single(
        lambda m, b: db.dice_loss(m["binary"], b["shrink_map"], b["shrink_mask"])
    ),
    "mask_l1": single(
        lambda m, b: db.masked_l1_loss(m["threshold"], b["threshold_map"], b["threshold_mask"])
    ),
    **{
        f"balance_{main}": single(
            lambda m, b, main=main: db.balanced_loss(
                m["shrink"], b["shrink_map"], b["shrink_mask"], MAIN_LOSSES[main], 3.0
            )
        )
        for main in ("dice", "bce", "mask_l1")
    },
    "db_loss": recipe(labels=("Student",)),
    "db_loss_bce": recipe(labels=("Student",), main="bce"),
    "distill_dila_cml": recipe(teacher=TAUGHT),
    "distill_dml_cml": recipe(mutual=PAIRS),
    "distill_db_cml": recipe(labels=BOTH),
    "distill_dml_dml_softmax": recipe(mutual=PAIRS, mutual_act="softmax"),
    "distill_dml_sigmoid": recipe(mutual=PAIRS, mutual_act="sigmoid"),
    "combined_cml": recipe(labels=BOTH, mutual=PAIRS, teacher=TAUGHT),
    "combined_dml": recipe(labels=BOTH, mutual=PAIRS, mutual_act="softmax"),
}


def recorded_terms(losses):
    """Our losses under the names that the original logs, where a name has one there."""
    named = {}
    for name, value in losses.items():
        kind, _, rest = name.partition("/")
        if kind == "teacher":
            named[f"dila_dbloss_{rest.replace('-', '_')}"] = value
        elif kind == "mutual":
            named["dml_thrink_maps_0"] = value
        elif kind == "db":
            role, _, part = rest.partition("/")
            for prefix in (f"db_{role}_", f"DBLoss_{role}_", ""):
                named[f"{prefix}loss_{part}_maps"] = value
    return named


@pytest.fixture(scope="module")
def computed():
    """`(values, gradients)` of a recipe on a case; compiled once per recipe."""

    def differentiate(loss_fn):
        # The sum of the vector that the original differentiates: N times its mean.
        return jax.jit(jax.value_and_grad(loss_fn, has_aux=True))

    return {name: differentiate(loss_fn) for name, loss_fn in RECIPES.items()}


def test_values_and_gradients(recorded, cases, computed):
    expected, arrays = recorded("losses.json"), recorded("losses.npz")
    for case in cases(list(expected["cases"])):
        maps, batch = case_arrays(arrays, case)
        for key in cases([key for key in expected["cases"][case] if key in RECIPES]):
            record = expected["cases"][case][key]
            (_, losses), grads = computed[key](maps, batch)
            label = f"{case} {key}"
            check_values(label, losses, record["values"])
            if case == "extreme_predictions" and key.endswith("bce"):
                continue  # the derivative of a logarithm cut at exactly 0 or 1 is a definition
            check_gradients(label, key, case, grads, arrays, maps, batch)


def check_values(label, losses, values):
    named = recorded_terms(losses)
    if len(values) == 1 or "loss" in values:
        total = values.get("loss", next(iter(values.values())))
        np.testing.assert_allclose(losses["total"], np.mean(total), rtol=1e-5, err_msg=label)
    for name, value in values.items():
        if name in named:
            np.testing.assert_allclose(
                named[name], np.mean(value), rtol=1e-5, atol=1e-7, err_msg=f"{label} {name}"
            )
        else:
            assert name == "loss" or len(values) == 1, f"{label}: {name} is not computed"


def check_gradients(label, key, case, grads, arrays, maps, batch):
    for role in ROLES:
        name = f"{case}/grad/{key}/{role}"
        if name not in arrays:
            continue
        expected = arrays[name]
        actual = np.stack([grads[role][m] for m in ("shrink", "threshold", "binary")], 1)
        if case == "extreme_predictions":  # the side of an absolute value at exactly 0
            expected, actual = expected.copy(), actual.copy()
            tie = np.asarray(maps[role]["threshold"] == batch["threshold_map"])
            expected[:, 1][tie] = actual[:, 1][tie] = 0.0
            if key == "balance_mask_l1":
                tie = np.asarray(maps[role]["shrink"] == batch["shrink_map"])
                expected[:, 0][tie] = actual[:, 0][tie] = 0.0
        scale = max(abs(expected).max(), 1e-12)
        np.testing.assert_allclose(
            actual / scale, expected / scale, atol=1e-5, err_msg=f"{label} {role}"
        )


def test_dilated_teacher(recorded, cases):
    arrays = recorded("losses.npz")
    for case in cases(list(recorded("losses.json")["cases"])):
        text = jnp.asarray(arrays[f"{case}/maps_Teacher"][:, 0] > 0.3, jnp.float32)
        np.testing.assert_array_equal(dilate(text), arrays[f"{case}/dilated_teacher"])


def test_mutual_loss_per_image(recorded, cases):
    expected, arrays = recorded("losses.json"), recorded("losses.npz")
    for case in cases(list(expected["cases"])):
        maps, _ = case_arrays(arrays, case)
        values = expected["cases"][case]["distill_dml_cml"]["values"]["dml_thrink_maps_0"]
        actual = mutual_loss(maps["Student"]["shrink"], maps["Student2"]["shrink"])
        np.testing.assert_allclose(actual, values, rtol=1e-5, atol=1e-7)
