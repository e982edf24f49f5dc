"""The optimiser, the rate, and whole updates of a small network against plain NumPy's."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from golden_files import read
from make import TRAJECTORY, drawn_batch, summary_of
from plain_network import fill
from tiny import TINY, adam_moments

from configs import parts
from ppocr_jax.losses.recipes import make_loss
from ppocr_jax.models.detector import build_detector, shapes_of
from ppocr_jax.optim import make_optimizer
from ppocr_jax.optim.schedule import Segment, rate_at
from ppocr_jax.training.state import make_state
from ppocr_jax.training.step import make_train_step

ROLE = "student"
# A norm by the batch cancels these: they move nothing, and their gradient is only rounding.
CANCELLED = ("binarize/conv2/bias", "thresh/conv2/bias", "stage3_0/linear_conv/bn/bias")


def optimizer(l2, schedule):
    config = ml_collections.ConfigDict({"b1": 0.9, "b2": 0.999, "eps": 1e-8, "l2": l2})
    return make_optimizer(config, schedule)


def test_rate_and_adam():
    golden = read("optimiser")
    base, total, warmup, decay = golden["plan"]
    plan = Segment(0, int(total), float(base), int(warmup))
    np.testing.assert_allclose([plan(s) for s in range(12)], golden["rates"], rtol=1e-12)
    tx, params = optimizer(float(decay), rate_at), {"w": jnp.asarray(golden["start"], jnp.float32)}
    state = tx.init(params)
    update = jax.jit(lambda grad, state, params: tx.update(grad, state, params,
                                                           plan=plan.numbers()))  # fmt: skip
    for grad, expected in zip(golden["grads"], golden["path"], strict=True):
        updates, state = update({"w": jnp.asarray(grad, jnp.float32)}, state, params)
        params = jax.tree.map(jnp.add, params, updates)
        np.testing.assert_allclose(params["w"], expected, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def run():
    """`(terms of every update, first moments after the first, last state)` of the updates.

    Sizes and settings are those of the step of tests/training/test_step.py, for one compilation.
    """
    model = build_detector(TINY)
    shapes = shapes_of(model)
    assert {name: leaf.shape for name, leaf in flatten_dict(shapes["params"], sep="/").items()} == {
        name: array.shape for name, array in fill().items()
    }
    stats = {name: np.full(leaf.shape, name.endswith("/var"), np.float32)
             for name, leaf in flatten_dict(shapes["batch_stats"], sep="/").items()}  # fmt: skip
    variables = {"params": unflatten_dict(fill(), sep="/"),
                 "batch_stats": unflatten_dict(stats, sep="/")}  # fmt: skip
    tx = optimizer(TRAJECTORY["decay"], lambda step: TRAJECTORY["rate"])
    loss = make_loss(ml_collections.ConfigDict(parts.losses(labels=(ROLE,))))
    step_fn = make_train_step({ROLE: model}, loss, tx, (ROLE,))
    state, terms, first = make_state({ROLE: jax.tree.map(jnp.array, variables)}, tx, (ROLE,)), [], 0
    for _ in range(TRAJECTORY["updates"]):
        state, metrics = step_fn(state, drawn_batch())
        terms.append([float(metrics[f"db/{ROLE}/{n}"]) for n in ("shrink", "threshold", "binary")])
        first = first or jax.tree.map(np.asarray, adam_moments(state, (ROLE,))[0])
    return np.array(terms), first[ROLE], state


def differences(found, kept):
    """`{name: relative difference}` of arrays by name to what `make.packed` has kept of them."""
    by_name, least = {}, 1e-6 * np.linalg.norm(kept)
    for name in sorted(found):
        ours = summary_of(found[name])
        expected, kept = kept[: ours.size], kept[ours.size :]
        by_name[name] = np.linalg.norm(ours - expected) / max(np.linalg.norm(expected), least)
    assert len(kept) == 0
    return {name: by for name, by in by_name.items() if not name.endswith(CANCELLED)}


def test_losses_of_every_update(run):
    golden, (terms, _, _) = read("trajectory"), run
    np.testing.assert_allclose(terms, golden["losses"], rtol=1e-4)
    assert golden["losses"][-1].sum() < 0.999 * golden["losses"][0].sum()  # something is learned


def test_gradients_of_the_whole_network(run):
    """From Adam's first moment after one update: a tenth of the gradient, with its decay."""
    (_, first, _), start = run, fill()
    grads = {name: np.asarray(moment, np.float64) / 0.1 - TRAJECTORY["decay"] * start[name]
             for name, moment in flatten_dict(first, sep="/").items()}  # fmt: skip
    found = differences(grads, read("trajectory")["gradients"])
    assert {name: by for name, by in found.items() if by > 5e-4} == {}


def test_weights_and_statistics_after_it(run):
    golden, (_, _, state), start = read("trajectory"), run, fill()
    changes = {name: np.asarray(value, np.float64) - start[name]
               for name, value in flatten_dict(state.params[ROLE], sep="/").items()}  # fmt: skip
    found = differences(changes, golden["changes"])
    assert {name: by for name, by in found.items() if by > 2e-3} == {}
    found = differences(flatten_dict(state.batch_stats[ROLE], sep="/"), golden["statistics"])
    assert {name: by for name, by in found.items() if by > 1e-4} == {}
