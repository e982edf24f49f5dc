"""The optimiser of the published recipe."""

import jax
import jax.numpy as jnp
import optax


def make_adam(config, schedule):
    """Adam with coupled L2: the decay joins the gradient before the moments.

    It applies to every parameter, biases and batch norms too. `config` is `config.optimizer`.
    All tensors go through it as one vector, in the order of the tree's leaves: a few large
    operations to compile and to run in the place of several for each of hundreds of tensors.
    """
    adam = optax.chain(
        optax.add_decayed_weights(config.l2),
        optax.scale_by_adam(config.b1, config.b2, config.eps),
        scale_by_rate(schedule),
    )
    return optax.flatten(adam)


def scale_by_rate(schedule):
    """As `optax.scale_by_learning_rate`, with a state of the same form.

    `update(..., plan=numbers)` hands the schedule what it is made of, as `schedule(count,
    numbers)`; without it the schedule is asked for `schedule(count)`.
    """

    def init(params):
        del params
        return optax.ScaleByScheduleState(count=jnp.zeros([], jnp.int32))

    def update(updates, state, params=None, *, plan=None, **_):
        del params
        rate = -1 * (schedule(state.count) if plan is None else schedule(state.count, plan))
        scaled = jax.tree.map(lambda leaf: jnp.array(rate, dtype=leaf.dtype) * leaf, updates)
        return scaled, optax.ScaleByScheduleState(optax.safe_increment(state.count))

    return optax.GradientTransformationExtraArgs(init, update)
