"""One update of all roles: pure functions, no I/O.

A *gradient* here is a function `(params, batch_stats, batch) -> (batch_stats, (grads, losses))`:
what the batch says of the trainable roles, and the statistics that have moved by it. It is made
once (`make_gradient`), and then wrapped: taken over micro-batches one after the other
(`over_micro_batches`), or on each device alone (`on_each_device`). `make_train_step` puts the
optimiser behind it.
"""

import jax
import jax.numpy as jnp
import optax
from jax.sharding import NamedSharding, PartitionSpec

from ppocr_jax.models.precision import in_precision
from ppocr_jax.optim.bundle import Bundle
from ppocr_jax.runtime.compiler import compiler_options
from ppocr_jax.training.averaging import NONE
from ppocr_jax.training.packed import PackedState
from ppocr_jax.training.state import TrainState, pick_learning, put_learning

MAPS = ("threshold_map", "threshold_mask", "shrink_map", "shrink_mask")


def make_train_step(
    models,
    loss_fn,
    tx,
    trainable,
    *,
    frozen_parts=None,
    frozen_norm="batch",
    norm_scope="global",
    accumulate=1,
    little_memory=False,
    mesh=None,
    averages=NONE,
    precision="float32",
):
    """Returns a jitted `(state, batch) -> (state, metrics)`; the given state is donated.

    A state is a TrainState, or a PackedState of one: that comes out which goes in.

    A role outside `trainable` gets no gradient and no weight decay, and nothing of it changes; the
    same holds for `frozen_parts` of the others, whose models should have them in `stored`.

    `norm_scope` says what batch norm, the ratios of the losses and their batch size are over:
    "global", the whole batch, or "device", each device's part of it. With "device" every device
    makes its own gradient, as in PaddleOCR, and gradients, losses and new statistics are averaged.

    Args:
        models: `{role: Detector}`.
        loss_fn: `(maps, batch, size) -> (objective, losses)`, see `losses.recipes.make_loss`.
        tx: optax transformation over the tree of the trainable roles.
        trainable: names of the roles that learn.
        frozen_parts: `{role: parts}` that do not, see `state.pick_learning`.
        frozen_norm: see `make_gradient`.
        accumulate: number of micro-batches, see `over_micro_batches`.
        little_memory: compile for memory before speed; for models that rematerialise.
        mesh: the devices, see `devices.make_mesh`; needed for "device" and for micro-batches
            over several devices.
        averages: roles that no gradient sees: they follow others after the update.
        precision: of float32 products, see `models.precision`.

    The batch holds `image` (uint8 `[B, H, W, 3]` BGR, or normalised floats) and the four target
    maps `[B, H, W]` in any dtype; `plan`, the numbers of a rate by `tx`'s schedule, if it takes
    them. `metrics` are scalars: every loss and the gradient's norm.
    """
    gradient = make_gradient(models, loss_fn, trainable, frozen_norm, frozen_parts)
    if norm_scope == "device":
        gradient = over_micro_batches(gradient, accumulate)
        gradient = on_each_device(gradient, trainable, mesh, frozen_parts)
    else:
        gradient = over_micro_batches(gradient, accumulate, spread_over=mesh)

    def train_step(state, batch):
        pictures = {name: batch[name] for name in ("image", *MAPS)}
        params, batch_stats = map(averages.leave_out, (state.params, state.batch_stats))
        batch_stats, (grads, losses) = gradient(params, batch_stats, pictures)
        packed = isinstance(state, PackedState)
        if packed:
            learning, grads = state.learning, Bundle.of(grads)
        else:
            learning = pick_learning(state.params, trainable, frozen_parts)
        updates, slots = tx.update(grads, state.opt_state, learning, plan=batch.get("plan"))
        learning = optax.apply_updates(learning, updates)
        metrics = {**losses, "grad_norm": optax.tree.norm(grads)}
        params = put_learning(state.params, learning.tree() if packed else learning)
        new = TrainState(state.step + 1, params, {**state.batch_stats, **batch_stats}, slots)
        new = averages.follow(new)
        return state.after(new, learning) if packed else new, metrics

    whole = None if mesh is None else NamedSharding(mesh, PartitionSpec())
    return jax.jit(
        in_precision(train_step, precision, models.values()),
        donate_argnums=0,
        out_shardings=whole,
        compiler_options=compiler_options(little_memory),
    )


def make_gradient(models, loss_fn, trainable, frozen_norm="batch", frozen_parts=None):
    """The gradient of one batch, a function of `(params, batch_stats, batch, size=None)`.

    Args:
        models, loss_fn, trainable, frozen_parts: see `make_train_step`.
        frozen_norm: what a role outside `trainable` normalises with: "batch", as the published
            recipe does (its stored statistics are left alone all the same), or "stored". Such a
            role draws its shrink map alone, which is all that the losses ask of a teacher.

    `size` is the number of images of one update, where that is not the batch's own.
    """

    def forward(role, params, batch_stats, image):
        variables = {"params": params, "batch_stats": batch_stats}
        learns = role in trainable
        maps, mutated = models[role].apply(
            variables,
            image,
            train=learns or frozen_norm == "batch",
            all_maps=learns,
            mutable=["batch_stats"],
        )
        return maps, mutated["batch_stats"] if learns else batch_stats

    def gradient(params, batch_stats, batch, size=None):
        frozen = {r: p for r, p in params.items() if r not in trainable}
        learning = pick_learning(params, trainable, frozen_parts)
        dtype = jax.tree.leaves(learning)[0].dtype
        targets = {name: batch[name].astype(dtype) for name in MAPS}

        def objective(learning):
            maps, new_stats = {}, {}
            whole = put_learning({role: params[role] for role in trainable}, learning)
            for role, values in {**frozen, **whole}.items():
                maps[role], new_stats[role] = forward(
                    role, values, batch_stats[role], batch["image"]
                )
            value, losses = loss_fn(maps, targets, size)
            return value, (losses, new_stats)

        (_, (losses, new_stats)), grads = jax.value_and_grad(objective, has_aux=True)(learning)
        return new_stats, (grads, losses)

    return gradient


def over_micro_batches(gradient, count, spread_over=None):
    """The mean of the gradients of `count` micro-batches, made one after the other.

    Each micro-batch has its own statistics and ratios, which one large batch would share; stored
    statistics move once per micro-batch. What was asked of one batch fits into memory this way
    that would not at once.

    Args:
        gradient: see `make_gradient`.
        count: divides the batch; 1 for the gradient of the whole batch.
        spread_over: mesh whose devices share every micro-batch; None on one device.
    """

    def mean_gradient(params, batch_stats, batch):
        size = batch["image"].shape[0]
        if count == 1:
            return gradient(params, batch_stats, batch, size)
        parts = jax.tree.map(
            lambda leaf: leaf.reshape(count, size // count, *leaf.shape[1:]), batch
        )
        if spread_over is not None:
            sharding = NamedSharding(spread_over, PartitionSpec(None, "data"))
            parts = jax.lax.with_sharding_constraint(parts, sharding)

        def add(carry, part):
            batch_stats, sums = carry
            batch_stats, found = gradient(params, batch_stats, part, size)
            return (batch_stats, jax.tree.map(jnp.add, sums, found)), None

        first = jax.tree.map(lambda leaf: leaf[0], parts)
        shapes = jax.eval_shape(lambda *args: gradient(*args, size), params, batch_stats, first)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes[1])
        (batch_stats, sums), _ = jax.lax.scan(add, (batch_stats, zeros), parts)
        return batch_stats, jax.tree.map(lambda leaf: leaf / count, sums)

    return mean_gradient


def on_each_device(gradient, trainable, mesh, frozen_parts=None):
    """The mean of the gradients that the devices of a mesh make, each alone with its part.

    Args:
        gradient: `(params, batch_stats, batch) -> (batch_stats, (grads, losses))`.
        trainable: the statistics of these roles are averaged; those of the others did not move.
        mesh: with the axis "data".
        frozen_parts: of these roles, whose statistics did not move either.
    """

    def alone(params, batch_stats, batch):
        new_stats, found = gradient(params, batch_stats, batch)
        moved = pick_learning(new_stats, trainable, frozen_parts)
        moved = {role: jax.lax.pmean(stats, "data") for role, stats in moved.items()}
        return put_learning(new_stats, moved), jax.lax.pmean(found, "data")

    whole = PartitionSpec()
    return jax.shard_map(
        alone,
        mesh=mesh,
        in_specs=(whole, whole, PartitionSpec("data")),
        out_specs=whole,
        check_vma=False,  # else the gradient would be summed over devices on its own
    )
