"""One update of all roles: pure functions, no I/O."""

import jax
import jax.numpy as jnp
import optax
from jax.sharding import NamedSharding, PartitionSpec

from ppocr_jax.runtime.compiler import compiler_options
from ppocr_jax.training.state import TrainState

MAPS = ("threshold_map", "threshold_mask", "shrink_map", "shrink_mask")


def make_train_step(
    models,
    loss_fn,
    tx,
    trainable,
    *,
    frozen_norm="batch",
    norm_scope="global",
    accumulate=1,
    little_memory=False,
    mesh=None,
):
    """Returns a jitted `(state, batch) -> (state, metrics)`; the given state is donated.

    A role outside `trainable` gets no gradient and no weight decay, and nothing of it changes.
    `frozen_norm` says what it normalises with: "batch", as the published recipe does (its stored
    statistics are left alone all the same), or "stored". It draws its shrink map alone.

    `norm_scope` says what batch norm, the ratios of the losses and their batch size are over:
    "global", the whole batch, or "device", each device's part of it. With "device" every device
    makes its own gradient, as in PaddleOCR, and gradients, losses and new statistics are averaged.

    `accumulate` cuts the batch into that many micro-batches, one after the other. The gradient is
    the mean of their own gradients, each with its own statistics and ratios (one large batch
    would share them); stored statistics move once per micro-batch.

    Args:
        models: `{role: Detector}`.
        loss_fn: `(maps, batch, size) -> (objective, losses)`, see `losses.recipes.make_loss`.
        tx: optax transformation over the tree of the trainable roles.
        trainable: names of the roles that learn.
        little_memory: compile for memory before speed; for models that rematerialise.
        mesh: the devices, see `devices.make_mesh`; needed for "device" and for micro-batches
            over several devices.

    The batch holds `image` (uint8 `[B, H, W, 3]` BGR, or normalised floats) and the four target
    maps `[B, H, W]` in any dtype. `metrics` are scalars: every loss and the gradient's norm.
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

    def gradients_of_one(params, batch_stats, batch, size):
        """`(new statistics, (gradients of the trainable roles, losses))` of one micro-batch."""
        frozen = {r: p for r, p in params.items() if r not in trainable}
        learning = {r: params[r] for r in trainable}
        dtype = jax.tree.leaves(learning)[0].dtype
        targets = {name: batch[name].astype(dtype) for name in MAPS}

        def objective(learning):
            maps, new_stats = {}, {}
            for role, values in {**frozen, **learning}.items():
                maps[role], new_stats[role] = forward(
                    role, values, batch_stats[role], batch["image"]
                )
            value, losses = loss_fn(maps, targets, size)
            return value, (losses, new_stats)

        (_, (losses, new_stats)), grads = jax.value_and_grad(objective, has_aux=True)(learning)
        return new_stats, (grads, losses)

    def gradients(params, batch_stats, batch, spread_over=None):
        """As `gradients_of_one`, over all micro-batches of a batch."""
        size = batch["image"].shape[0]
        if accumulate == 1:
            return gradients_of_one(params, batch_stats, batch, size)
        parts = jax.tree.map(
            lambda leaf: leaf.reshape(accumulate, size // accumulate, *leaf.shape[1:]), batch
        )
        if spread_over is not None:  # every micro-batch over all devices
            sharding = NamedSharding(spread_over, PartitionSpec(None, "data"))
            parts = jax.lax.with_sharding_constraint(parts, sharding)

        def add(carry, part):
            batch_stats, sums = carry
            batch_stats, new = gradients_of_one(params, batch_stats, part, size)
            return (batch_stats, jax.tree.map(jnp.add, sums, new)), None

        first = jax.tree.map(lambda leaf: leaf[0], parts)
        shapes = jax.eval_shape(
            lambda *args: gradients_of_one(*args, size), params, batch_stats, first
        )
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes[1])
        (batch_stats, sums), _ = jax.lax.scan(add, (batch_stats, zeros), parts)
        return batch_stats, jax.tree.map(lambda leaf: leaf / accumulate, sums)

    def gradients_per_device(params, batch_stats, batch):
        """As `gradients`, each device alone with its part; the means of what they find."""

        def alone(params, batch_stats, batch):
            new_stats, found = gradients(params, batch_stats, batch)
            for role in trainable:  # those of the others did not move
                new_stats[role] = jax.lax.pmean(new_stats[role], "data")
            return new_stats, jax.lax.pmean(found, "data")

        whole = PartitionSpec()
        return jax.shard_map(
            alone,
            mesh=mesh,
            in_specs=(whole, whole, PartitionSpec("data")),
            out_specs=whole,
            check_vma=False,  # else the gradient would be summed over devices on its own
        )(params, batch_stats, batch)

    def train_step(state, batch):
        batch = {name: batch[name] for name in ("image", *MAPS)}
        if norm_scope == "device":
            found = gradients_per_device(state.params, state.batch_stats, batch)
        else:
            found = gradients(state.params, state.batch_stats, batch, mesh)
        batch_stats, (grads, losses) = found
        learning = {role: state.params[role] for role in trainable}
        updates, opt_state = tx.update(grads, state.opt_state, learning)
        params = {**state.params, **optax.apply_updates(learning, updates)}
        metrics = {**losses, "grad_norm": optax.tree.norm(grads)}
        return TrainState(state.step + 1, params, batch_stats, opt_state), metrics

    whole = None if mesh is None else NamedSharding(mesh, PartitionSpec())
    return jax.jit(
        train_step,
        donate_argnums=0,
        out_shardings=whole,
        compiler_options=compiler_options(little_memory),
    )
