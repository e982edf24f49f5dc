"""Exponential averages of networks while they train: pure functions on device.

An average follows parameters and batch norm's statistics alike. The statistics are a mean over the
last few batches, taken at the weights of these batches; averaged with the same factors, they are,
to first order, those of the averaged weights, and less noisy by as many batches more. Measuring
them anew at the averaged weights would cost a pass over many batches before every evaluation.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ppocr_jax import averages
from ppocr_jax.averages import followed, is_average


class Averages(NamedTuple):
    """The averages of a run.

    Attributes:
        roles: their names; each follows the role `averages.followed` names.
        decay: part of an average that an update keeps, at most.
        share: of the updates so far over which it averages, until `decay` limits that.
    """

    roles: tuple[str, ...] = ()
    decay: float = 0.0
    share: float = 0.0

    @classmethod
    def of(cls, config):
        """Those that a config asks for."""
        return cls(tuple(averages.averages(config)), config.average.decay, config.average.share)

    def rate(self, step):
        """The part of the way that averages move towards new weights: float32 [].

        With n updates before this one it is max(1 - decay, 1 / (1 + share n)): the average begins
        as the weights themselves and looks back further as the run grows, so that the weights
        that it began with do not weigh on an early or a short one.

        Args:
            step: int32 [], updates done, this one among them.
        """
        span = 1.0 + jnp.float32(self.share) * (step - 1).astype(jnp.float32)
        return jnp.maximum(jnp.float32(1.0 - self.decay), 1.0 / span)

    def leave_out(self, tree):
        """A tree by role without the averages."""
        return {role: part for role, part in tree.items() if role not in self.roles}

    def begin(self, state, copy=jnp.copy):
        """A TrainState with these averages and no others.

        Those that it lacks are made of the present values of what they follow.

        Args:
            state: TrainState.
            copy: of a leaf.
        """

        def fit(tree):
            new = [role for role in self.roles if role not in tree]
            kept = {r: part for r, part in tree.items() if r in self.roles or not is_average(r)}
            return kept | {role: jax.tree.map(copy, tree[followed(role)]) for role in new}

        return state.replace(params=fit(state.params), batch_stats=fit(state.batch_stats))

    def follow(self, state):
        """A TrainState after an update, whose averages have moved by it."""
        if not self.roles:
            return state
        rate = self.rate(state.step)

        def move(tree):
            moved = {
                role: jax.tree.map(
                    lambda mean, value: mean + rate * (value - mean),
                    tree[role],
                    tree[followed(role)],
                )
                for role in self.roles
            }
            return {**tree, **moved}

        return state.replace(params=move(state.params), batch_stats=move(state.batch_stats))


NONE = Averages()


def as_saved(template, roles):
    """A TrainState of shapes with the averages of a saved state, and no others.

    Args:
        template: TrainState of ShapeDtypeStructs.
        roles: names of all roles in that state.
    """
    saved = Averages(tuple(role for role in roles if is_average(role)))
    return saved.begin(template, copy=lambda leaf: leaf)
