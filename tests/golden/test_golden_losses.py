"""Losses against plain NumPy, and their gradients against central differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_files import read
from tiny import CHEAP

from ppocr_jax.losses import MAIN_LOSSES, MUTUAL_ACTS, db, distill

CASES = ("usual", "much text", "no text", "no mask")


def functions(one, other, batch):
    """`{name: (loss of a map, the map)}`."""
    target, mask = batch["shrink_map"], batch["shrink_mask"]
    found = {
        f"balanced {main}": (
            lambda a, main=main: db.balanced_loss(a, target, mask, MAIN_LOSSES[main], 3.0),
            one["shrink"],
        )
        for main in ("dice", "bce", "mask_l1")
    }
    found["dice"] = lambda a: db.dice_loss(a, target, mask), one["shrink"]
    found["masked l1"] = (
        lambda a: db.masked_l1_loss(a, batch["threshold_map"], batch["threshold_mask"]),
        one["threshold"],
    )
    for part in one:
        found[f"db {part}"] = (
            lambda a, part=part: db.db_loss({**one, part: a}, batch)[part], one[part]
        )  # fmt: skip
    for act in ("none", "softmax", "sigmoid"):
        found[f"mutual {act}"] = (
            lambda a, act=act: distill.mutual_loss(a, other["shrink"], MUTUAL_ACTS[act]),
            one["shrink"],
        )
    for part in ("shrink", "binary"):
        found[f"taught {part}"] = (
            lambda a, part=part: distill.teacher_loss({**one, part: a}, other["shrink"], mask),
            one[part],
        )
    return found


def compute(one, other, batch):
    """`{name: (value, gradient of its sum)}`."""
    found = {}
    for name, (function, array) in functions(one, other, batch).items():
        value, pull = jax.vjp(function, array)
        found[name] = value, pull(jnp.ones_like(value))[0]
    return found


@pytest.fixture(scope="module")
def golden():
    return read("losses")


def arrays(golden, start):
    """What is kept under names that begin so, and go on without another `/`."""
    return {key.removeprefix(start): jnp.asarray(value, jnp.float32)
            for key, value in golden.items()
            if key.startswith(start) and "/" not in key.removeprefix(start)}  # fmt: skip


@pytest.fixture(scope="module")
def computed(golden):
    """`{case: (inputs, {name: (value, gradient)})}`, by one program for all cases."""
    inputs = {
        case: tuple(arrays(golden, f"{case}/{part}") for part in ("one/", "other/", ""))
        for case in CASES
    }
    program = jax.jit(compute).lower(*inputs["usual"]).compile(CHEAP)
    return {case: (given, jax.tree.map(np.asarray, program(*given)))
            for case, given in inputs.items()}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients(golden, computed, case):
    (_, other, _), found = computed[case]
    assert {f"{case}/value/{name}" for name in found} == {
        key for key in golden if key.startswith(f"{case}/value/")
    }
    for name, (value, grad) in found.items():
        np.testing.assert_allclose(value, golden[f"{case}/value/{name}"], rtol=1e-5, atol=1e-6,
                                   err_msg=name)  # fmt: skip
        expected = golden[f"{case}/grad/{name}"]
        size = max(abs(expected).max(), 1e-3)
        np.testing.assert_allclose(grad / size, expected / size, atol=1e-4, err_msg=name)
    text = (other["shrink"] > 0.3).astype(jnp.float32)
    np.testing.assert_array_equal(distill.dilate(text), golden[f"{case}/dilated"])


def test_the_cases_differ(golden):
    """What makes the losses' branches: text, no text, more text than negatives, nothing counted."""
    values = {case: golden[f"{case}/value/balanced bce"] for case in CASES}
    assert values["no text"] == values["no mask"] == 0 < values["usual"]
    text = golden["much text/shrink_map"].mean()
    assert 3 * text > 1 - text
