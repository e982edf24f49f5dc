"""The three ideas of the train step, each alone: a gradient, micro-batches, devices."""

import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from tiny import ROOT, TINY, make_network

from configs import parts
from ppocr_jax.losses.recipes import make_loss
from ppocr_jax.models.detector import build_detector
from ppocr_jax.training.step import MAPS, make_gradient, over_micro_batches


class Scale(nn.Module):
    """Maps that are the image times one learned number; remembers the mean of what it saw."""

    @nn.compact
    def __call__(self, image, train=False, all_maps=None):
        factor = self.param("factor", nn.initializers.constant(2.0), ())
        mean = self.variable("batch_stats", "mean", jnp.zeros, ())
        if train:
            mean.value = image.mean()
        maps = {"shrink": factor * image}
        return {**maps, "binary": maps["shrink"]} if all_maps else maps


def squares(maps, targets, size):
    """Half the squared error of the student, plus what it owes the teacher, per image."""
    own = 0.5 * jnp.square(maps["student"]["binary"] - targets["shrink_map"]).sum()
    taught = (maps["student"]["shrink"] * maps["teacher"]["shrink"]).sum()
    return (own + taught) / size, {"own": own, "taught": taught}


def make_batch(size=4):
    rng = np.random.default_rng(0)
    return {name: jnp.asarray(rng.random((size, 2, 2)), jnp.float32) for name in ("image", *MAPS)}


def test_a_gradient_is_that_of_the_roles_that_learn():
    models = {"student": Scale(), "teacher": Scale()}
    params = {"student": {"factor": jnp.float32(2)}, "teacher": {"factor": jnp.float32(3)}}
    stats = {role: {"mean": jnp.float32(-1)} for role in models}
    batch = make_batch()
    gradient = make_gradient(models, squares, ("student",))
    new_stats, (grads, losses) = gradient(params, stats, batch, 4)
    x, target = batch["image"], batch["shrink_map"]
    by_hand = ((2 * x - target) * x + x * 3 * x).sum() / 4  # the teacher's map is a constant
    assert list(grads) == ["student"]
    np.testing.assert_allclose(grads["student"]["factor"], by_hand, rtol=1e-6)
    np.testing.assert_allclose(losses["taught"], (6 * x * x).sum(), rtol=1e-6)
    np.testing.assert_allclose(new_stats["student"]["mean"], x.mean(), rtol=1e-6)
    assert new_stats["teacher"]["mean"] == -1  # it normalised with the batch, and kept its own


def counting_gradient(params, batch_stats, batch, size):
    """Statistics that count its calls; the gradient is the batch's mean, a loss is `size`."""
    count = batch_stats["count"] + 1
    found = {"w": batch["image"].mean() * params["w"] * count}, {"size": jnp.float32(size)}
    return {"count": count}, found


def test_micro_batches_come_one_after_the_other():
    batch = make_batch(6)
    params, stats = {"w": jnp.float32(1)}, {"count": jnp.float32(0)}
    mean_gradient = over_micro_batches(counting_gradient, 3)
    new_stats, (grads, losses) = mean_gradient(params, stats, batch)
    parts = batch["image"].reshape(3, -1).mean(1)
    assert new_stats["count"] == 3  # each starts from the statistics of the one before
    np.testing.assert_allclose(grads["w"], (parts * jnp.arange(1, 4)).mean(), rtol=1e-6)
    assert losses["size"] == 6  # of the whole update: a sum over images is over all of them
    once = over_micro_batches(counting_gradient, 1)(params, stats, batch)
    jax.tree.map(np.testing.assert_array_equal, once, counting_gradient(params, stats, batch, 6))


EACH_DEVICE = """
import jax
jax.config.update("jax_num_cpu_devices", 4)
import jax.numpy as jnp, numpy as np
from jax.sharding import AxisType
from ppocr_jax.training.step import on_each_device

def gradient(params, batch_stats, batch):
    part = batch["image"].mean()
    moved = {"student": {"mean": part}, "teacher": batch_stats["teacher"]}
    return moved, ({"student": params["student"] * part ** 2}, {"largest": batch["image"].max()})

mesh = jax.make_mesh((4,), ("data",), (AxisType.Auto,))
params = {"student": jnp.float32(2), "teacher": jnp.float32(0)}
stats = {"student": {"mean": jnp.float32(0)}, "teacher": {"mean": jnp.float32(7)}}
images = np.random.default_rng(0).random((8, 3), np.float32)
step = jax.jit(on_each_device(gradient, ("student",), mesh))
stats, (grads, losses) = step(params, stats, {"image": images})
parts = images.reshape(4, -1)
np.testing.assert_allclose(grads["student"], 2 * (parts.mean(1) ** 2).mean(), rtol=1e-5)
np.testing.assert_allclose(losses["largest"], parts.max(1).mean(), rtol=1e-6)
np.testing.assert_allclose(stats["student"]["mean"], parts.mean(), rtol=1e-5)
assert stats["teacher"]["mean"] == 7
"""


def test_each_device_alone_and_the_mean_of_them():
    """With four simulated devices, which need a process of their own."""
    command = [sys.executable, "-c", EACH_DEVICE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_frozen_part_gets_no_gradient_and_keeps_its_statistics():
    model = build_detector(TINY, stored=("backbone",))
    variables = make_network()[1]
    params, stats = variables["params"], variables["batch_stats"]
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (2, 64, 64, 3), np.uint8)

    @jax.jit
    def draw(params, stats):
        variables = {"params": params, "batch_stats": stats}
        mutable = ["batch_stats"]
        trained, _ = model.apply(variables, image, True, method="features", mutable=mutable)
        _, moved = model.apply(variables, image, True, mutable=mutable)
        return trained, model.apply(variables, image, method="features"), moved["batch_stats"]

    trained, stored, moved = draw(params, stats)
    for name in ("c2", "c3", "c4", "c5"):
        np.testing.assert_array_equal(trained[name], stored[name])
    jax.tree.map(np.testing.assert_array_equal, moved["backbone"], stats["backbone"])
    assert not any(jax.tree.leaves(jax.tree.map(np.array_equal, moved["head"], stats["head"])))

    loss_fn = make_loss(ml_collections.ConfigDict(parts.losses(labels=("student",))))
    frozen = {"student": ("backbone",)}
    gradient = make_gradient({"student": model}, loss_fn, ("student",), frozen_parts=frozen)
    batch = {"image": image, **{name: np.ones((2, 64, 64), np.float32) for name in MAPS}}
    trees = {"student": params}, {"student": stats}
    new_stats, (grads, _) = jax.eval_shape(gradient, *trees, batch)
    assert sorted(grads["student"]) == ["head", "neck"]
    assert jax.tree.structure(new_stats) == jax.tree.structure(trees[1])
