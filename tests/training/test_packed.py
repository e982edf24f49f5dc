"""The state in the form of a GPU: the same numbers, and the same file on disk."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from tiny import draw_data, load_config, write_config

from ppocr_jax.optim import make_optimizer
from ppocr_jax.runtime.platform import assume
from ppocr_jax.training.averaging import Averages
from ppocr_jax.training.checkpoints import Checkpoints, state_tree
from ppocr_jax.training.loop import train
from ppocr_jax.training.packed import PackedState, pack
from ppocr_jax.training.state import TrainState, extract_role, make_state
from ppocr_jax.training.step import MAPS, make_train_step

LEARNS, FROZEN = ("a", "b"), {"b": ("stem",)}
AVERAGES = Averages(("a_average",), decay=0.9, share=0.5)


class Toy:
    """Two layers that scale and shift, with one statistic: nothing that takes time to compile."""

    def apply(self, variables, image, **_):
        params, mean = variables["params"], variables["batch_stats"]["head"]["mean"]
        x = image.mean(-1) * params["stem"]["scale"][0] + params["stem"]["shift"].sum()
        x = jnp.tanh(x) * params["head"]["scale"].sum()
        stats = {"head": {"mean": 0.9 * mean + 0.1 * x.mean()}}
        return {"shrink": x}, {"batch_stats": stats}


def make_variables(seed):
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return jnp.asarray(rng.normal(size=shape).astype("f4"))

    params = {"stem": {"scale": draw(2), "shift": draw(3, 2)}, "head": {"scale": draw(4)}}
    return {"params": params, "batch_stats": {"head": {"mean": draw(1)}}}


def loss(maps, batch, size):
    total = sum(jnp.square(m["shrink"] - batch["shrink_map"]).mean() for m in maps.values())
    return total, {"total": total}


@pytest.fixture(scope="module")
def states():
    """`{form: [state before and after some updates]}`."""
    config = ml_collections.ConfigDict({"b1": 0.9, "b2": 0.999, "eps": 1e-8, "l2": 0.01})
    tx = make_optimizer(config, lambda step: 0.01)
    variables = {role: make_variables(seed) for seed, role in enumerate((*LEARNS, "teacher"))}
    models = dict.fromkeys(variables, Toy())
    step = make_train_step(
        models, loss, tx, LEARNS, frozen_parts=FROZEN, averages=AVERAGES, frozen_norm="stored"
    )
    rng = np.random.default_rng(9)
    batch = {name: rng.random((2, 4, 4), np.float32) for name in MAPS}
    batch["image"] = rng.random((2, 4, 4, 3), np.float32)

    def begin():
        return AVERAGES.begin(make_state(jax.tree.map(jnp.copy, variables), tx, LEARNS, FROZEN))

    found = {}
    for form in ("plain", "packed"):
        state = begin()
        if form == "packed":
            state = pack(state, LEARNS, FROZEN, AVERAGES.roles)
        found[form] = [jax.device_get(state_tree(state))]
        for _ in range(3):
            state, metrics = step(state, batch)
            found[form].append(jax.device_get(state_tree(state)))
        found[form, "metrics"], found[form, "state"] = jax.device_get(metrics), state
    return found


def test_it_has_what_a_train_state_has(states):
    jax.tree.map(np.testing.assert_array_equal, states["packed"][0], states["plain"][0])
    variables = extract_role(states["packed", "state"], "a_average")
    assert variables["params"]["stem"]["shift"].shape == (3, 2)


def test_updates_are_the_same(states):
    for ours, theirs in zip(states["packed"][1:], states["plain"][1:], strict=True):
        assert jax.tree.structure(ours) == jax.tree.structure(theirs)
        for one, other in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    first, last = states["packed"][0], states["packed"][-1]
    assert last["step"] == 3
    for role, part, learns in (
        ("a", "stem", True),
        ("b", "stem", False),
        ("teacher", "head", False),
    ):
        same = np.array_equal(
            first["params"][role][part]["scale"], last["params"][role][part]["scale"]
        )
        assert same is not learns, (role, part)
    norms = [float(states[form, "metrics"]["grad_norm"]) for form in ("packed", "plain")]
    assert norms[0] == pytest.approx(norms[1], rel=1e-5) and norms[0] > 0


def test_it_is_saved_in_the_form_of_every_device(states, tmp_path):
    packed, meta = states["packed", "state"], {"roles": list(states["packed"][0]["params"])}
    template = TrainState(**jax.eval_shape(lambda: states["plain"][-1]))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(packed, meta)
        checkpoints.wait()
        restored, _ = checkpoints.restore(template)
    jax.tree.map(np.testing.assert_array_equal, state_tree(restored), states["packed"][-1])
    again = pack(restored, LEARNS, FROZEN, AVERAGES.roles)
    for one, other in zip(jax.tree.leaves(again), jax.tree.leaves(packed), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.long
def test_a_run_in_the_forms_of_a_gpu_goes_on_on_a_cpu_and_back(tmp_path):
    path = write_config(tmp_path, draw_data(tmp_path / "data"))
    on = ("average.decay=0.75", "best.role=student_average", "save.every_steps=2")
    workdir = tmp_path / "run"
    with assume("gpu"):
        state, _ = train(load_config(path, "steps=4", *on), workdir)
    assert isinstance(state, PackedState) and int(state.step) == 4
    state, _ = train(load_config(path, "steps=6", *on), workdir)
    assert isinstance(state, TrainState) and int(state.step) == 6
    with assume("gpu"):
        state, metrics = train(load_config(path, "steps=8", *on), workdir)
    assert int(state.step) == 8 and 0 <= metrics["student_average"]["hmean"] <= 1
