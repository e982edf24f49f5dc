"""One update of all roles: pure functions, no I/O.

A *gradient* here is a function `(params, batch_stats, batch) -> (batch_stats, (grads, losses))`:
the gradients of the trainable roles and the updated batch norm statistics. `make_gradient` builds
it; `over_micro_batches` accumulates it and `on_each_device` averages it over the devices of a mesh.
`make_train_step` adds the optimiser.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, PyTree, Shaped

from ppocr_jax.models.detector import Detector
from ppocr_jax.models.precision import in_precision
from ppocr_jax.optim.bundle import Bundle
from ppocr_jax.runtime.compiler import compiler_options
from ppocr_jax.training.averaging import NONE, Averages
from ppocr_jax.training.packed import PackedState
from ppocr_jax.training.state import TrainState, pick_learning, put_learning

# The target maps of a batch, `[B, H, W]` each.
MAPS = ("threshold_map", "threshold_mask", "shrink_map", "shrink_mask")

Batch = dict[str, Any]  # `image`, the target maps, perhaps `plan`; see `make_train_step`
Maps = dict[str, Float[Array, "B H W"]]
Params = dict[str, Any]  # by role: a tree of parameters
Stats = dict[str, Any]  # by role: a tree of batch norm statistics
Losses = dict[str, Float[Array, ""]]
Grads = tuple[PyTree[Float[Array, "..."]], Losses]
Gradient = Callable[..., tuple[Stats, Grads]]
LossFn = Callable[..., tuple[Float[Array, ""], Losses]]
FrozenParts = Mapping[str, Sequence[str]]


def make_train_step(
    models: Mapping[str, Detector],
    loss_fn: LossFn,
    tx: optax.GradientTransformationExtraArgs,
    trainable: Sequence[str],
    *,
    frozen_parts: FrozenParts | None = None,
    frozen_norm: str = "batch",
    norm_scope: str = "global",
    accumulate: int = 1,
    little_memory: bool = False,
    mesh: Mesh | None = None,
    averages: Averages = NONE,
    precision: str = "float32",
) -> jax.stages.Wrapped:
    """Builds the jitted update `(state, batch) -> (state, metrics)`. It donates the given state.

    The state is a TrainState or a PackedState; the update returns the same kind.

    Roles outside `trainable` get no gradient and no weight decay and do not change. The same holds
    for the `frozen_parts` of trainable roles; list those parts in `Detector.stored` too.

    `norm_scope` sets what batch norm statistics, the ratios inside the losses and the batch size
    are computed over: "global" is the whole batch, "device" is each device's shard. With "device",
    each device computes its own gradient, as PaddleOCR does, and gradients, losses and new
    statistics are averaged.

    Args:
        models: `{role: Detector}`.
        loss_fn: `(maps, batch, size) -> (objective, losses)`, see `losses.recipes.make_loss`.
        tx: optax transformation over the tree of the trainable roles.
        trainable: roles that learn.
        frozen_parts: `{role: parts}` that do not learn, see `state.pick_learning`.
        frozen_norm: see `make_gradient`.
        accumulate: number of micro-batches, see `over_micro_batches`.
        little_memory: compile for low memory rather than speed; for models with remat.
        mesh: the devices, see `devices.make_mesh`. Required for "device", and for micro-batches
            on several devices.
        averages: roles without a gradient, updated as moving averages of other roles.
        precision: of float32 matrix products and convolutions, see `models.precision`.

    The batch holds `image` (uint8 `[B, H, W, 3]` BGR, or normalised floats) and the four target
    maps `[B, H, W]` in any dtype. It may also hold `plan`, the schedule's numbers that `tx` reads
    (see `optim.schedule.Segment.numbers`). `metrics` are float32 scalars: every loss and the
    gradient norm.
    """
    # Accumulate first, then average over devices: one all-reduce per update rather than one per
    # micro-batch. With "global" the compiler places the reductions.
    gradient = make_gradient(models, loss_fn, trainable, frozen_norm, frozen_parts)
    if norm_scope == "device":
        if mesh is None:
            raise ValueError('norm_scope="device" needs a mesh')
        gradient = over_micro_batches(gradient, accumulate)
        gradient = on_each_device(gradient, trainable, mesh, frozen_parts)
    else:
        gradient = over_micro_batches(gradient, accumulate, spread_over=mesh)

    def train_step(state, batch):
        # Forward and backward pass. The averages take no part in it.
        examples = {name: batch[name] for name in ("image", *MAPS)}
        params, batch_stats = map(averages.leave_out, (state.params, state.batch_stats))
        batch_stats, (grads, losses) = gradient(params, batch_stats, examples)

        # Optimiser, over the trainable parameters only.
        packed = isinstance(state, PackedState)
        if packed:
            learning, grads = state.learning, Bundle.of(grads)
        else:
            learning = pick_learning(state.params, trainable, frozen_parts)
        updates, slots = tx.update(grads, state.opt_state, learning, plan=batch.get("plan"))
        learning = optax.apply_updates(learning, updates)
        metrics = {**losses, "grad_norm": optax.tree.norm(grads)}

        # The new state. Averages move last, so that they see the new weights and statistics.
        params = put_learning(state.params, learning.tree() if packed else learning)
        new = TrainState(state.step + 1, params, {**state.batch_stats, **batch_stats}, slots)
        new = averages.follow(new)
        return state.after(new, learning) if packed else new, metrics

    # Every device holds the whole state.
    whole = None if mesh is None else NamedSharding(mesh, PartitionSpec())
    return jax.jit(
        in_precision(train_step, precision, models.values()),
        donate_argnums=0,
        out_shardings=whole,
        compiler_options=compiler_options(little_memory),
    )


def make_gradient(
    models: Mapping[str, Detector],
    loss_fn: LossFn,
    trainable: Collection[str],
    frozen_norm: str = "batch",
    frozen_parts: FrozenParts | None = None,
) -> Gradient:
    """Builds the gradient of one batch, a function of `(params, batch_stats, batch, size=None)`.

    Args:
        models, loss_fn, trainable, frozen_parts: see `make_train_step`.
        frozen_norm: the statistics that roles outside `trainable` normalise with: "batch", as the
            published recipe does (their stored statistics still do not change), or "stored". These
            roles compute only their shrink map, the one map that the losses use of a teacher.

    `size` is the number of images in one update, where it differs from that of the batch.
    """

    def forward(
        role: str, params: Any, batch_stats: Any, image: Shaped[Array, "B H W 3"]
    ) -> tuple[Maps, Any]:
        variables = {"params": params, "batch_stats": batch_stats}
        learns = role in trainable
        # A frozen teacher in train mode normalises with batch statistics; flax updates its running
        # statistics then, and we drop them.
        maps, mutated = models[role].apply(
            variables,
            image,
            train=learns or frozen_norm == "batch",
            all_maps=learns,
            mutable=["batch_stats"],
        )
        return maps, mutated["batch_stats"] if learns else batch_stats

    def gradient(
        params: Params, batch_stats: Stats, batch: Batch, size: int | None = None
    ) -> tuple[Stats, Grads]:
        frozen = {r: p for r, p in params.items() if r not in trainable}
        learning = pick_learning(params, trainable, frozen_parts)
        # Masks and shrink maps arrive as uint8; losses compute in the parameters' dtype, which is
        # float64 in the tests that compare with the recorded reference.
        dtype = jax.tree.leaves(learning)[0].dtype
        targets = {name: batch[name].astype(dtype) for name in MAPS}

        def objective(learning: Params) -> tuple[Float[Array, ""], tuple[Losses, Stats]]:
            maps: dict[str, Maps] = {}
            new_stats: Stats = {}
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


def over_micro_batches(gradient: Gradient, count: int, spread_over: Mesh | None = None) -> Gradient:
    """Accumulates: the mean gradient of `count` micro-batches, computed one after the other.

    Only one micro-batch needs its activations in memory at a time. The result is not the gradient
    of one large batch: batch norm and the ratios inside the losses are computed per micro-batch,
    and the running statistics move once per micro-batch.

    Args:
        gradient: see `make_gradient`.
        count: number of micro-batches, a divisor of the batch size. 1 returns the gradient of the
            whole batch.
        spread_over: mesh over which each micro-batch is split; None for one device.
    """

    def mean_gradient(params: Params, batch_stats: Stats, batch: Batch) -> tuple[Stats, Grads]:
        size = batch["image"].shape[0]
        if count == 1:
            return gradient(params, batch_stats, batch, size)
        parts = jax.tree.map(
            lambda leaf: leaf.reshape(count, size // count, *leaf.shape[1:]), batch
        )
        if spread_over is not None:
            # Without this, whole micro-batches would lie on single devices.
            sharding = NamedSharding(spread_over, PartitionSpec(None, "data"))
            parts = jax.lax.with_sharding_constraint(parts, sharding)

        def add(carry, part):
            batch_stats, sums = carry
            batch_stats, found = gradient(params, batch_stats, part, size)
            return (batch_stats, jax.tree.map(jnp.add, sums, found)), None

        # A scan compiles the micro-batch once; its sums start from zeros of the right shapes.
        first = jax.tree.map(lambda leaf: leaf[0], parts)
        shapes = jax.eval_shape(lambda *args: gradient(*args, size), params, batch_stats, first)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes[1])
        (batch_stats, sums), _ = jax.lax.scan(add, (batch_stats, zeros), parts)
        return batch_stats, jax.tree.map(lambda leaf: leaf / count, sums)

    return mean_gradient


def on_each_device(
    gradient: Gradient,
    trainable: Collection[str],
    mesh: Mesh,
    frozen_parts: FrozenParts | None = None,
) -> Gradient:
    """Data parallelism as in PaddleOCR: each device computes the gradient of its own shard.

    Gradients, losses and batch norm statistics are then averaged over the devices.

    Args:
        gradient: `(params, batch_stats, batch) -> (batch_stats, (grads, losses))`.
        trainable: roles whose statistics are averaged; those of other roles did not change.
        mesh: the devices, with the axis "data".
        frozen_parts: of the trainable roles; their statistics did not change either.
    """

    def alone(params: Params, batch_stats: Stats, batch: Batch) -> tuple[Stats, Grads]:
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
        check_vma=False,  # otherwise JAX sums the gradient over the devices by itself
    )
