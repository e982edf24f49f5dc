"""The state as GPUs hold it: tensors joined into vectors, so that an update launches few kernels.

A network has hundreds of small tensors, and on a GPU each one costs a kernel launch per operation.
States are saved and evaluated as `TrainState` on every device. A `PackedState` has the same
attributes and unpacks them on demand.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import flax
from jaxtyping import Array, Int

from ppocr_jax.optim.bundle import Bundle
from ppocr_jax.training.state import TrainState, pick_learning, put_learning


@flax.struct.dataclass
class PackedState:
    """The values of a TrainState, with tensors joined into vectors.

    Attributes:
        step: updates done so far.
        learning: parameters that have a gradient.
        moving: what else an update changes, statistics and averages:
            `{"params", "batch_stats"}`, keyed by role.
        still: what no update changes, in the same form.
        opt_state: as in a TrainState, but the moments are vectors in the order of `learning`.
    """

    step: Int[Array, ""]
    learning: Bundle
    moving: Bundle
    still: dict[str, Any]
    opt_state: Any

    @property
    def params(self) -> dict[str, Any]:
        """As in a TrainState."""
        others = {**self.still["params"], **self.moving.tree()["params"]}
        return put_learning(others, self.learning.tree())

    @property
    def batch_stats(self) -> dict[str, Any]:
        """As in a TrainState."""
        return {**self.still["batch_stats"], **self.moving.tree()["batch_stats"]}

    def after(self, state: TrainState, learning: Bundle) -> "PackedState":
        """Packs the state after an update; its `learning` part comes bundled already."""
        roles = {kind: tuple(parts) for kind, parts in self.moving.tree().items()}
        return PackedState(state.step, learning, _bundle(state, roles), self.still, state.opt_state)


def _bundle(state, roles):
    """Bundles the listed roles of a state: `roles` is `{"params" or "batch_stats": roles}`."""
    return Bundle.of(
        {kind: {role: getattr(state, kind)[role] for role in roles[kind]} for kind in roles}
    )


def pack(
    state: TrainState,
    trainable: Collection[str],
    frozen_parts: Mapping[str, Sequence[str]] | None = None,
    averages: Collection[str] = (),
) -> PackedState:
    """Packs a TrainState.

    Args:
        state: on device, or inside a traced function.
        trainable, frozen_parts: see `state.pick_learning`.
        averages: roles that are averages of others.
    """
    # A frozen part of a trainable role has no gradient, but batch norm statistics in the same tree
    # as the rest of its role, so statistics move by role and parameters by part.
    learning = Bundle.of(pick_learning(state.params, trainable, frozen_parts))
    moving = {"params": tuple(averages), "batch_stats": (*trainable, *averages)}
    still = {
        kind: {role: part for role, part in getattr(state, kind).items() if role not in roles}
        for kind, roles in moving.items()
    }
    for role in trainable:  # the frozen parts of trainable roles are still as well
        parts = (frozen_parts or {}).get(role, ())
        still["params"][role] = {part: state.params[role][part] for part in parts}
    return PackedState(state.step, learning, _bundle(state, moving), still, state.opt_state)
