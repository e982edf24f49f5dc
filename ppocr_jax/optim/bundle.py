"""A tree of tensors stored as one vector, for devices where every tensor costs a kernel launch.

A network has hundreds of tensors, most of them small. Stored as one vector, they are updated by one
kernel rather than by one each; code that needs a tensor slices it out of the vector. Large tensors
gain too: XLA produces their gradients in another axis order, and reorders them while it
concatenates, where updating each tensor alone would need a temporary array and a copy.
"""

import math
from collections.abc import Sequence
from typing import Any

import flax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@flax.struct.dataclass
class Bundle:
    """A tree of arrays of one dtype, itself a pytree with a single leaf.

    Attributes:
        vector: all tensors, flattened and concatenated in the order of the tree's leaves.
        structure: the tree's structure.
        shapes: the tensors' shapes, in the same order.
    """

    vector: Float[Array, "N"]
    structure: Any = flax.struct.field(pytree_node=False)
    shapes: tuple[tuple[int, ...], ...] = flax.struct.field(pytree_node=False)

    @classmethod
    def of(cls, tree: Any) -> "Bundle":
        """Bundles a tree of arrays."""
        leaves, structure = jax.tree.flatten(tree)
        # `or`: nothing may be trainable, and an empty list cannot be concatenated.
        vector = jnp.concatenate([leaf.reshape(-1) for leaf in leaves] or [jnp.zeros(0)])
        return cls(vector, structure, tuple(leaf.shape for leaf in leaves))

    def tree(self) -> Any:
        """Unpacks the original tree."""
        return jax.tree.unflatten(self.structure, _cut(self.vector, self.shapes))


def _cut_plainly(vector: Float[Array, "N"], shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    parts, begin = [], 0
    for shape in shapes:
        end = begin + math.prod(shape)
        parts.append(vector[begin:end].reshape(shape))
        begin = end
    return parts


# Jitted so that a call outside of `jit` compiles one program, not one per tensor.
_cut = jax.jit(_cut_plainly, static_argnums=1, inline=True)
