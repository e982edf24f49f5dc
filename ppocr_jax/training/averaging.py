"""Exponential moving averages (EMA) of networks during training: pure functions on device.

An average covers parameters and batch norm statistics alike. Batch norm's running statistics belong
to the weights of the last few batches; averaged with the same factors as the weights they are, to
first order, the statistics of the averaged weights, and less noisy. Recomputing them for the
averaged weights would cost a pass over many batches before every evaluation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
from jaxtyping import Array, Float, Int

from ppocr_jax import averages
from ppocr_jax.averages import followed, is_average
from ppocr_jax.training.state import TrainState


class Averages(NamedTuple):
    """The averages of a run.

    Attributes:
        roles: their names, such as `student_average`; `averages.followed` gives the role that
            each one averages.
        decay: upper limit of the factor by which an update keeps the average, in [0, 1).
        share: fraction of the updates so far that the average spans, until `decay` limits it.
    """

    roles: tuple[str, ...] = ()
    decay: float = 0.0
    share: float = 0.0

    @classmethod
    def of(cls, config: ml_collections.ConfigDict) -> Averages:
        """The averages that a config asks for."""
        return cls(tuple(averages.averages(config)), config.average.decay, config.average.share)

    def rate(self, step: Int[Array, ""]) -> Float[Array, ""]:
        """The factor a in `average += a (weights - average)`.

        After n earlier updates, a = max(1 - decay, 1 / (1 + share n)). The average starts as the
        weights themselves and its span grows with the run, so the initial weights do not bias it
        early or in a short run, as they would with a constant decay.

        Args:
            step: updates done, including this one.
        """
        # step - 1 = n. At n = 0 the rate is 1: the average is the weights themselves.
        span = 1.0 + jnp.float32(self.share) * (step - 1).astype(jnp.float32)
        return jnp.maximum(jnp.float32(1.0 - self.decay), 1.0 / span)

    def leave_out(self, tree: dict[str, Any]) -> dict[str, Any]:
        """Drops the averages from a tree keyed by role."""
        return {role: part for role, part in tree.items() if role not in self.roles}

    def begin(self, state: TrainState, copy: Callable[[Any], Any] = jnp.copy) -> TrainState:
        """Returns the state with exactly these averages.

        A missing average starts from the current values of the role it follows; averages that are
        no longer wanted are dropped.

        Args:
            state: with any averages or none.
            copy: copies one leaf: the update donates the state, so leaves must not be shared.
        """

        def fit(tree):
            # `kept` leaves out averages that are no longer in `roles`.
            new = [role for role in self.roles if role not in tree]
            kept = {r: part for r, part in tree.items() if r in self.roles or not is_average(r)}
            return kept | {role: jax.tree.map(copy, tree[followed(role)]) for role in new}

        return dataclasses.replace(
            state, params=fit(state.params), batch_stats=fit(state.batch_stats)
        )

    def follow(self, state: TrainState) -> TrainState:
        """Moves the averages of a state that has just been updated."""
        if not self.roles:
            return state
        rate = self.rate(state.step)

        def move(tree):
            moved = {
                # In this form an average equal to its weight stays so to the bit.
                role: jax.tree.map(
                    lambda mean, value: mean + rate * (value - mean),
                    tree[role],
                    tree[followed(role)],
                )
                for role in self.roles
            }
            return {**tree, **moved}

        return dataclasses.replace(
            state, params=move(state.params), batch_stats=move(state.batch_stats)
        )


NONE = Averages()


def as_saved(template: TrainState, roles: Iterable[str]) -> TrainState:
    """Gives a template of a state the averages that a saved state has, so that it can be read.

    Args:
        template: TrainState of ShapeDtypeStructs.
        roles: names of all roles in the saved state.
    """
    saved = Averages(tuple(role for role in roles if is_average(role)))
    return saved.begin(template, copy=lambda leaf: leaf)
