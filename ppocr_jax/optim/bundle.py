"""A tree of tensors stored as one vector, for devices where every tensor costs a kernel launch.

A network has hundreds of tensors, most of them small. Stored as one vector, they are updated by one
kernel rather than by one each; code that needs a tensor slices it out of the vector. Large tensors
gain too: XLA produces their gradients in another axis order, and reorders them while it
concatenates, where updating each tensor alone would need a temporary array and a copy.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import flax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

SMALL = 2048  # values that a small tensor has at most: a vector of a norm or a bias
APART = 60  # the largest tensors of a tree, concatenated one by one
POOL = 65536  # values that a short vector of small tensors has at most, 256 KiB


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
        vector = _join([leaf.reshape(-1) for leaf in leaves])
        return cls(vector, structure, tuple(leaf.shape for leaf in leaves))

    def tree(self) -> Any:
        """Unpacks the original tree."""
        return jax.tree.unflatten(self.structure, _cut(self.vector, self.shapes))


def _join_plainly(parts: Sequence[Float[Array, "_"]]) -> Float[Array, "N"]:
    """Concatenates vectors.

    XLA splits a concatenation of more than 128 arrays, and of its parts only the last is fused with
    the kernel that reads it: the others are written and read once more. So all but the largest
    vectors are joined first, and the runs between the largest are cut out of that.
    """
    if len(parts) <= APART:
        # `or`: nothing may be trainable, and an empty list cannot be concatenated.
        return jnp.concatenate(parts or [jnp.zeros(0)])
    apart = set(sorted(range(len(parts)), key=lambda index: -parts[index].size)[:APART])
    joined = jnp.concatenate([part for index, part in enumerate(parts) if index not in apart])
    joined = jax.lax.optimization_barrier(joined)  # or XLA would undo the detour
    pieces, begin, end = [], 0, 0  # joined[begin:end]: the run since the last large vector
    for index, part in enumerate(parts):
        if index in apart:
            pieces += [joined[begin:end], part]
            begin = end
        else:
            end += part.size
    return jnp.concatenate([*pieces, joined[begin:]])


def _cut_plainly(vector: Float[Array, "N"], shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    ends = itertools.accumulate(map(math.prod, shapes))
    parts = [vector[end - math.prod(shape) : end] for shape, end in zip(shapes, ends, strict=True)]
    # Small tensors are first copied into short vectors and cut out of those. XLA fuses a cut with
    # the kernels that read it if its source may stay in a cache; out of a long vector, each small
    # tensor would be a kernel of its own.
    for pool in _pools(shapes):
        joined = jnp.concatenate([parts[index] for index in pool])
        joined = jax.lax.optimization_barrier(joined)  # or XLA would cut the long vector after all
        bounds = itertools.accumulate((parts[index].size for index in pool), initial=0)
        for index, (begin, end) in zip(pool, itertools.pairwise(bounds), strict=True):
            parts[index] = joined[begin:end]
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _pools(shapes: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Which small tensors share a short vector: lists of their indices, in order."""
    pools: list[list[int]] = []
    room = 0
    for index, size in enumerate(map(math.prod, shapes)):
        if size > SMALL:
            continue
        if not pools or size > room:
            pools.append([])
            room = POOL
        pools[-1].append(index)
        room -= size
    return pools


# Jitted so that a call outside of `jit` compiles one program, not one per tensor.
_join = jax.jit(_join_plainly, inline=True)
_cut = jax.jit(_cut_plainly, static_argnums=1, inline=True)
