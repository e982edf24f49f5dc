"""Every config: its parameters counted, its keys, and one update at full width."""

import json

import jax
import numpy as np
import pytest
from tiny import CHEAP, ROOT

from ppocr_jax import averages, cli, config, forms
from ppocr_jax.losses.recipes import make_loss
from ppocr_jax.models.detector import build_detector, init_variables
from ppocr_jax.optim import make_optimizer
from ppocr_jax.optim.schedule import first_segment, rate_at
from ppocr_jax.training.state import init_roles, make_state
from ppocr_jax.training.step import make_train_step

PARAMETERS = {  # config: parameters of all roles, of those that learn
    "ppocrv3_det_mobile": (603_418, 603_418),
    "ppocrv3_det_cml": (34_102_806, 1_206_836),
    "ppocrv3_det_dml": (65_791_940, 65_791_940),
    "ppocrv3_det_server": (32_895_970, 32_895_970),
    "finetune": (603_418, 603_418),
    "quickstart": (603_418, 603_418),
    "quickstart_dml": (4_575_524, 4_575_524),
    "quickstart_cml": (3_494_598, 1_206_836),
}
COMMON = """seed epochs steps batch_size crop learning_rate warmup_epochs dtype data.root data.train
    data.val data.workers eval.every_steps eval.every_epochs save.every_steps
    log.every_steps""".split()


def load(name):
    return cli.parse(cli.parser(""), ["--config", str(ROOT / "configs" / f"{name}.py")])[1]


def test_every_config_is_in_the_table():
    written = {path.stem for path in (ROOT / "configs").glob("*.py")} - {"parts", "__init__"}
    assert written == set(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_counted(name):
    c = load(name)
    counts = {}
    for role, network in c.roles.items():
        model = build_detector(network, c.dtype)
        shapes = jax.eval_shape(lambda model=model: init_variables(model, jax.random.key(0)))
        counts[role] = sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))
    assert sum(counts.values()) == PARAMETERS[name][0]
    assert sum(counts[role] for role in c.trainable) == PARAMETERS[name][1]


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_config_has_the_common_keys(name):
    c = load(name)
    assert {*COMMON, *(f"init_from.{role}" for role in averages.networks(c))} <= set(forms.keys(c))
    config.check(c)
    json.dumps(config.plain(c))


def test_the_published_numbers():
    c = load("ppocrv3_det_mobile")
    assert (c.epochs, c.crop, c.batch_size, c.learning_rate) == (500, 960, 8, 1e-3)
    assert (c.warmup_epochs, c.optimizer.l2) == (2.0, 5e-5)
    assert (c.loss.alpha, c.loss.beta, c.loss.negative_ratio) == (5.0, 10.0, 3.0)
    assert c.data.augment.rotate == (-10.0, 10.0) and c.data.augment.scale == (0.5, 3.0)


@pytest.mark.parametrize("name", [name for name in PARAMETERS if name.startswith("ppocrv3")])
def test_updates_at_full_width(name):
    c = load(name)
    models = {role: build_detector(network) for role, network in c.roles.items()}
    tx = make_optimizer(c.optimizer, rate_at)
    state = make_state(init_roles(models, init_variables, 0), tx, c.trainable)
    step_fn = make_train_step(models, make_loss(c.loss), tx, tuple(c.trainable))
    rng = np.random.default_rng(0)
    batch = {"image": rng.integers(0, 256, (2, 64, 64, 3), np.uint8)}
    batch["threshold_map"] = rng.uniform(0.3, 0.7, (2, 64, 64)).astype(np.float32)
    for map_name in ("threshold_mask", "shrink_map", "shrink_mask"):
        batch[map_name] = (rng.random((2, 64, 64)) < 0.5).astype(np.uint8)
    batch["plan"] = first_segment(c, 100, 10).numbers()
    before = jax.device_get(state.params)
    step_fn = step_fn.lower(state, batch).compile(CHEAP)
    state, metrics = step_fn(state, batch)
    assert np.isfinite(float(metrics["total"])) and float(metrics["grad_norm"]) > 0
    jax.tree.map(np.testing.assert_array_equal, before, state.params)  # the first rate is 0
    state, _ = step_fn(state, batch)
    for role in c.roles:
        moved = jax.tree.map(
            lambda a, b: bool((a != b).any()), before[role], jax.device_get(state.params[role])
        )
        assert all(value == (role in c.trainable) for value in jax.tree.leaves(moved)), role
