"""Combined trees keyed by role: making them, taking one network out."""

from typing import Any

import flax
import jax
import numpy as np
import optax


@flax.struct.dataclass
class TrainState:
    """All that a run needs in order to continue. Mappings are keyed by role."""

    step: jax.Array  # int32 [], updates done so far
    params: dict[str, Any]  # {"student": ..., "student2": ..., "teacher": ...}
    batch_stats: dict[str, Any]  # same keys
    opt_state: optax.OptState  # of what learns: a frozen teacher, or part, costs no slots


def init_roles(models, init_variables, seed):
    """Fresh variables of every role.

    Args:
        models: `{role: detector}`.
        init_variables: `(detector, key) -> {"params", "batch_stats"}`.
        seed: int; a role's values depend on it and on the role's name alone.

    Returns:
        `{role: {"params", "batch_stats"}}`.
    """
    root = jax.random.key(seed)
    return {
        role: init_variables(model, jax.random.fold_in(root, name_to_int(role)))
        for role, model in models.items()
    }


def name_to_int(name):
    """A number in [0, 2^31) that depends on the letters of a name (FNV-1a)."""
    value = 2166136261
    for byte in name.encode():
        value = (value ^ byte) * 16777619 % 2**32
    return value % 2**31


def make_state(variables, tx, trainable, frozen=None):
    """The state of step 0 from the variables of every role; see `pick_learning`."""
    params = {role: tree["params"] for role, tree in variables.items()}
    return TrainState(
        step=jax.numpy.zeros((), jax.numpy.int32),
        params=params,
        batch_stats={role: tree["batch_stats"] for role, tree in variables.items()},
        opt_state=jax.jit(tx.init)(pick_learning(params, trainable, frozen)),
    )


def norm_of(params):
    """Length of all parameters of a network as one vector, on the host."""
    squares = [np.square(np.asarray(leaf, np.float64)).sum() for leaf in jax.tree.leaves(params)]
    return float(np.sqrt(sum(squares)))


def pick_learning(params, trainable, frozen=None):
    """What learns: the roles in `trainable`, without the parts that `frozen` names of them.

    Args:
        params: by role and part.
        trainable: roles.
        frozen: `{role: parts}`, of the roles in `trainable`; None for none.
    """
    still = frozen or {}
    return {
        role: {part: tree for part, tree in params[role].items() if part not in still.get(role, ())}
        for role in trainable
    }


def put_learning(params, learning):
    """`params` with what learns in the place of its old values."""
    return {**params, **{role: {**params[role], **parts} for role, parts in learning.items()}}


def extract_role(state, role):
    """Variables of one network, the same tree that its own `init` makes."""
    return {"params": state.params[role], "batch_stats": state.batch_stats[role]}
