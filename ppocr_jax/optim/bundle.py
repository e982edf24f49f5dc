"""A tree of tensors as one vector: for devices where each tensor costs a launch.

Networks have hundreds of tensors, most of a few numbers. Kept in one vector they are changed by one
kernel, not by one each; what reads a tensor reads its part of the vector. Large ones gain as well:
gradients come in another order of axes than tensors lie in, and are put in place while they are
joined, where an update of the tensor alone would be made aside and copied.
"""

import math
from typing import Any

import flax
import jax
import jax.numpy as jnp


@flax.struct.dataclass
class Bundle:
    """A tree of arrays of one type. It is a pytree itself, of one vector.

    Attributes:
        vector: all tensors, one behind the other in the tree's order.
        structure: of the tree.
        shapes: of its tensors.
    """

    vector: jax.Array
    structure: Any = flax.struct.field(pytree_node=False)
    shapes: tuple[tuple[int, ...], ...] = flax.struct.field(pytree_node=False)

    @classmethod
    def of(cls, tree):
        """A tree of arrays, bundled."""
        leaves, structure = jax.tree.flatten(tree)
        vector = jnp.concatenate([leaf.reshape(-1) for leaf in leaves] or [jnp.zeros(0)])
        return cls(vector, structure, tuple(leaf.shape for leaf in leaves))

    def tree(self):
        """The tree again."""
        return jax.tree.unflatten(self.structure, _cut(self.vector, self.shapes))


def _cut_plainly(vector, shapes):
    parts, begin = [], 0
    for shape in shapes:
        end = begin + math.prod(shape)
        parts.append(vector[begin:end].reshape(shape))
        begin = end
    return parts


# One program, not one for every tensor, where it is called outside of one.
_cut = jax.jit(_cut_plainly, static_argnums=1, inline=True)
