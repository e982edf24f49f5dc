"""Checks of saved values: that their checksums are those at saving, and that they are finite."""

import os
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ppocr_jax.errors import UserError
from ppocr_jax.weights.damage import Damaged


def checksum(tree: Any) -> int:
    """CRC-32 over the bytes of all leaves, in JAX's order of a tree.

    Arrays that several processes share are read from this process's copy.
    """
    value = 0
    for leaf in jax.tree.leaves(own_copy(tree)):
        data: Any = np.ascontiguousarray(leaf).reshape(-1).view(np.uint8)  # a buffer, not copied
        value = zlib.crc32(data, value)
    return value


def checksums(tree: Mapping[str, Any]) -> dict[str, int]:
    """Checksums of a training state: of each role's parameters and statistics, and the optimiser.

    Args:
        tree: `{"params", "batch_stats", "opt_state"}`, the first two keyed by role.

    Returns:
        `{"opt_state": CRC-32, "params/<role>": ..., "batch_stats/<role>": ...}`. Parts have
        checksums of their own, so that one role can be checked without reading the others.
    """
    parts = {"opt_state": tree["opt_state"]}
    for kind in ("params", "batch_stats"):
        parts |= {f"{kind}/{role}": part for role, part in tree[kind].items()}
    return {name: checksum(part) for name, part in parts.items()}


def require_saved(
    found: Mapping[str, int], saved: Mapping[str, int], place: str | os.PathLike[str]
) -> None:
    """Compares the checksums of what was read with those that were saved.

    Args:
        found: `{name: checksum}` of what was read. Names without a saved checksum are skipped,
            since older versions saved none.
        saved: `{name: checksum}`.
        place: name of the files, for the message.

    Raises:
        Damaged: some parts differ; it names them.
    """
    wrong = [name for name, value in found.items() if saved.get(name, value) != value]
    if wrong:
        raise Damaged(
            f"{place} is damaged: values of {', '.join(wrong)} are not those that were saved"
        )


def require_finite(tree: Any, place: object, advice: str = "take another file") -> None:
    """Refuses weights with NaN or infinity.

    Args:
        tree: nested dicts of arrays, or flat ones by name.
        place: what they came from, for the message.
        advice: what the user can do.

    Raises:
        UserError: names the first tensors with NaN or infinity.
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


def own_copy(tree: Any) -> Any:
    """A tree with its leaves as NumPy arrays."""
    # An array over several processes cannot be fetched whole; being replicated, this process's
    # part of it is a full copy.
    if jax.process_count() > 1:
        tree = jax.tree.map(
            lambda leaf: leaf.addressable_data(0) if isinstance(leaf, jax.Array) else leaf, tree
        )
    return jax.device_get(tree)


def _is_finite(value: np.ndarray) -> bool:
    return np.issubdtype(value.dtype, np.integer) or bool(np.isfinite(value).all())
