"""What saved values are checked for: the checksums that they were saved with, finite numbers."""

import zlib

import jax
import numpy as np

from ppocr_jax.errors import UserError
from ppocr_jax.weights.damage import Damaged


def checksum(tree):
    """CRC-32 of the bytes of all leaves, in JAX's order of a tree; of this process's copies."""
    value = 0
    for leaf in jax.tree.leaves(own_copy(tree)):
        value = zlib.crc32(np.ascontiguousarray(leaf).reshape(-1).view(np.uint8), value)
    return value


def checksums(tree):
    """Of a state's tree: `checksum` of every role's parameters and statistics, and of the slots."""
    parts = {"opt_state": tree["opt_state"]}
    for kind in ("params", "batch_stats"):
        parts |= {f"{kind}/{role}": part for role, part in tree[kind].items()}
    return {name: checksum(part) for name, part in parts.items()}


def require_saved(found, saved, place):
    """Compares checksums by name with those that were saved.

    Args:
        found: of what was read; names that were not saved are not compared.
        saved: `{name: checksum}`.
        place: what to call it.

    Raises:
        Damaged: names the parts that differ.
    """
    wrong = [name for name, value in found.items() if saved.get(name, value) != value]
    if wrong:
        raise Damaged(
            f"{place} is damaged: values of {', '.join(wrong)} are not those that were saved"
        )


def require_finite(tree, place, advice="take another file"):
    """Refuses values that no network can work with.

    Args:
        tree: nested dicts of arrays, or flat ones by name.
        place: what to call it.
        advice: what to do about it.

    Raises:
        UserError: names the first tensors that hold NaN or infinity.
    """
    tree = own_copy(tree)
    if all(map(_is_finite, jax.tree.leaves(tree))):
        return
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    bad = [path for path, leaf in leaves if not _is_finite(leaf)]
    wrong = [jax.tree_util.keystr(path, simple=True, separator=".") for path in bad]
    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    raise UserError(
        f"{place}: not finite (NaN or infinity): {', '.join(wrong[:3])}{more}; {advice}"
    )


def own_copy(tree):
    """A tree as NumPy arrays; of arrays that several processes share, this one's copy."""
    if jax.process_count() > 1:
        tree = jax.tree.map(
            lambda leaf: leaf.addressable_data(0) if isinstance(leaf, jax.Array) else leaf, tree
        )
    return jax.device_get(tree)


def _is_finite(value):
    return np.issubdtype(value.dtype, np.integer) or bool(np.isfinite(value).all())
