"""A state in the form that an update reads and writes with few kernels: what GPUs hold of it.

The form of a state that is saved, scored or handed on is `TrainState` whatever the device; this one
has its attributes, made of it where somebody asks for them.
"""

from typing import Any

import flax
import jax

from ppocr_jax.optim.bundle import Bundle
from ppocr_jax.training.state import pick_learning, put_learning


@flax.struct.dataclass
class PackedState:
    """The numbers of a TrainState, with tensors joined to vectors.

    Attributes:
        step: int32 [], updates done so far.
        learning: parameters that a gradient changes.
        moving: what else an update changes, statistics and averages:
            `{"params", "batch_stats"}`, keyed by role.
        still: the rest of both.
        opt_state: as of a TrainState, whose moments are vectors in the order of `learning`.
    """

    step: jax.Array
    learning: Bundle
    moving: Bundle
    still: dict[str, Any]
    opt_state: Any

    @property
    def params(self):
        """As of a TrainState."""
        others = {**self.still["params"], **self.moving.tree()["params"]}
        return put_learning(others, self.learning.tree())

    @property
    def batch_stats(self):
        """As of a TrainState."""
        return {**self.still["batch_stats"], **self.moving.tree()["batch_stats"]}

    def after(self, state, learning):
        """The packed form of the state after an update, whose `learning` is bundled already."""
        roles = {kind: tuple(parts) for kind, parts in self.moving.tree().items()}
        return PackedState(state.step, learning, _bundle(state, roles), self.still, state.opt_state)


def _bundle(state, roles):
    """What moves of a state, by kind and role."""
    return Bundle.of(
        {kind: {role: getattr(state, kind)[role] for role in roles[kind]} for kind in roles}
    )


def pack(state, trainable, frozen_parts=None, averages=()):
    """The packed form of a TrainState.

    Args:
        state: TrainState.
        trainable, frozen_parts: see `state.pick_learning`.
        averages: roles that follow others.
    """
    learning = Bundle.of(pick_learning(state.params, trainable, frozen_parts))
    moving = {"params": tuple(averages), "batch_stats": (*trainable, *averages)}
    still = {
        kind: {role: part for role, part in getattr(state, kind).items() if role not in roles}
        for kind, roles in moving.items()
    }
    for role in trainable:  # their frozen parts
        parts = (frozen_parts or {}).get(role, ())
        still["params"][role] = {part: state.params[role][part] for part in parts}
    return PackedState(state.step, learning, _bundle(state, moving), still, state.opt_state)
