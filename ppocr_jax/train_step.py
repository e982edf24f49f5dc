"""One update of all roles: pure functions, no I/O."""

import jax
import jax.numpy as jnp
import optax

from ppocr_jax.roles import TrainState

MAPS = ("threshold_map", "threshold_mask", "shrink_map", "shrink_mask")


def make_train_step(models, loss_fn, tx, trainable, frozen_norm="batch"):
    """Returns a jitted `(state, batch) -> (state, metrics)`; the given state is donated.

    A role outside `trainable` gets no gradient and no weight decay, and nothing of it changes.
    `frozen_norm` says what it normalises with: "batch", as the published recipe does (its stored
    statistics are left alone all the same), or "stored". It draws its shrink map alone.

    Args:
        models: `{role: Detector}`.
        loss_fn: `(maps, batch) -> (objective, losses)`, see `losses.recipes.make_loss`.
        tx: optax transformation over the tree of the trainable roles.
        trainable: names of the roles that learn.

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

    def train_step(state, batch):
        frozen = {r: p for r, p in state.params.items() if r not in trainable}
        learning = {r: state.params[r] for r in trainable}
        dtype = jax.tree.leaves(learning)[0].dtype
        targets = {name: batch[name].astype(dtype) for name in MAPS}

        def objective(learning):
            maps, batch_stats = {}, {}
            for role, params in {**frozen, **learning}.items():
                maps[role], batch_stats[role] = forward(
                    role, params, state.batch_stats[role], batch["image"]
                )
            value, losses = loss_fn(maps, targets)
            return value, (losses, batch_stats)

        (_, (losses, batch_stats)), grads = jax.value_and_grad(objective, has_aux=True)(learning)
        updates, opt_state = tx.update(grads, state.opt_state, learning)
        learning = optax.apply_updates(learning, updates)
        metrics = {**losses, "grad_norm": optax.tree.norm(grads)}
        params = {role: learning.get(role, frozen.get(role)) for role in state.params}
        return TrainState(state.step + 1, params, batch_stats, opt_state), metrics

    return jax.jit(train_step, donate_argnums=0)


def make_predict(model):
    """Returns a jitted `(variables, image, area) -> shrink map`, the one inference path.

    `image` is uint8 `[B, H, W, 3]` BGR, sides multiples of 32; the map is float32 `[B, H, W]`.
    `area` is None or int32 `[B, 2]`, see `Detector`. The stored statistics normalise.
    """

    def predict(variables, image, area=None):
        return model.apply(variables, image, train=False, area=area)["shrink"]

    return jax.jit(predict)


def all_finite(metrics):
    """Whether every scalar of a step's metrics is a finite number."""
    return jnp.stack([jnp.isfinite(value) for value in metrics.values()]).all()
