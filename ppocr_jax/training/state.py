"""The training state: trees keyed by role. Builds it and takes one network out of it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import flax
import jax
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from ppocr_jax.models.detector import Detector

if TYPE_CHECKING:
    from ppocr_jax.training.packed import PackedState

Variables = dict[str, Any]  # {"params", "batch_stats"} of one network


@flax.struct.dataclass
class TrainState:
    """Everything a run needs to continue. Dicts are keyed by role."""

    step: Int[Array, ""]  # updates done so far
    params: dict[str, Any]  # {"student": ..., "student2": ..., "teacher": ...}
    batch_stats: dict[str, Any]  # same keys
    opt_state: optax.OptState  # of trainable parameters only: a frozen teacher needs no slots


def init_roles(
    models: Mapping[str, Detector],
    init_variables: Callable[[Detector, jax.Array], Variables],
    seed: int,
) -> dict[str, Variables]:
    """Initialises the variables of every role.

    Args:
        models: `{role: detector}`.
        init_variables: `(detector, key) -> {"params", "batch_stats"}`.
        seed: of the run. A role's values depend only on it and on the role's name, so adding a
            role to a config leaves the others unchanged.

    Returns:
        `{role: {"params", "batch_stats"}}`.
    """
    root = jax.random.key(seed)
    return {
        role: init_variables(model, jax.random.fold_in(root, name_to_int(role)))
        for role, model in models.items()
    }


def name_to_int(name: str) -> int:
    """Hashes a name to a number in [0, 2^31) with FNV-1a; Python's own hash differs by process."""
    value = 2166136261  # FNV's offset basis and prime for 32 bits
    for byte in name.encode():
        value = (value ^ byte) * 16777619 % 2**32
    return value % 2**31


def make_state(
    variables: Mapping[str, Variables],
    tx: optax.GradientTransformation,
    trainable: Collection[str],
    frozen: Mapping[str, Sequence[str]] | None = None,
) -> TrainState:
    """Builds the state of step 0 from the variables of every role; see `pick_learning`."""
    params = {role: tree["params"] for role, tree in variables.items()}
    return TrainState(
        step=jax.numpy.zeros((), jax.numpy.int32),
        params=params,
        batch_stats={role: tree["batch_stats"] for role, tree in variables.items()},
        opt_state=jax.jit(tx.init)(pick_learning(params, trainable, frozen)),
    )


def norm_of(params: PyTree[Float[Array, "..."]]) -> float:
    """L2 norm over all parameters of a network, computed on the host in double precision."""
    squares = [np.square(np.asarray(leaf, np.float64)).sum() for leaf in jax.tree.leaves(params)]
    return float(np.sqrt(sum(squares)))


def pick_learning(
    params: Mapping[str, Any],
    trainable: Collection[str],
    frozen: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Selects what learns: the trainable roles without their frozen parts.

    Args:
        params: tree by role and part (`backbone`, `neck`, `head`).
        trainable: roles.
        frozen: `{role: parts}` for roles in `trainable`; None for no frozen parts.
    """
    still = frozen or {}
    return {
        role: {part: tree for part, tree in params[role].items() if part not in still.get(role, ())}
        for role in trainable
    }


def put_learning(params: Mapping[str, Any], learning: Mapping[str, Any]) -> dict[str, Any]:
    """Merges the output of `pick_learning` back into `params`."""
    return {**params, **{role: {**params[role], **parts} for role, parts in learning.items()}}


def extract_role(state: "TrainState | PackedState", role: str) -> Variables:
    """Takes the variables of one network out: the same tree that its own `init` makes."""
    return {"params": state.params[role], "batch_stats": state.batch_stats[role]}
