"""Reads one role's variables from a checkpoint and compares them with their checksums."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from ppocr_jax.weights.checks import checksum, require_saved
from ppocr_jax.weights.damage import Damaged, reading


def read_role(folder: epath.PathLike, role: str | None, saved: Mapping[str, int]) -> dict[str, Any]:
    """Variables of one role from a `state` folder; nothing else is read into memory.

    Args:
        folder: `<workdir>/checkpoints/<step>/state` or `<extracted>/state`.
        role: name, or None for a folder with a single network.
        saved: `{"params/<role>" or "params": CRC-32}`. Parts without a checksum are not compared.

    Returns:
        `{"params", "batch_stats"}` of NumPy arrays.

    Raises:
        Damaged: arrays are missing or have changed since they were saved.
        UserError: they cannot be read now.
    """
    folder = epath.Path(folder).resolve()
    with reading(folder):
        tree = _read_arrays(folder, role)
        found = {_name_of(kind, role): checksum(part) for kind, part in tree.items()}
        require_saved(found, saved, folder)
    return tree


def _read_arrays(folder: epath.Path, role: str | None) -> dict[str, Any]:
    with ocp.PyTreeCheckpointer() as reader:
        tree = reader.metadata(folder).item_metadata.tree
        wanted = {kind: _pick(tree[kind], role) for kind in ("params", "batch_stats")}
        # As NumPy arrays, so that the devices that wrote the state need not exist here.
        abstract = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), wanted)
        restore_args = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), abstract)
        got = reader.restore(
            folder,
            args=ocp.args.PyTreeRestore(
                item=abstract, restore_args=restore_args, partial_restore=True
            ),
        )
    # Orbax leaves an array that it does not find as the abstract value that it was given.
    lost = [leaf for leaf in jax.tree.leaves(got) if isinstance(leaf, jax.ShapeDtypeStruct)]
    if lost:
        raise Damaged(f"{folder} is damaged: it lacks {len(lost)} arrays")
    return {kind: _drop(got[kind], role) for kind in got}


def _name_of(kind: str, role: str | None) -> str:
    return kind if role is None else f"{kind}/{role}"


def _pick(tree: Any, role: str | None) -> Any:
    return tree if role is None else {role: tree[role]}


def _drop(tree: Any, role: str | None) -> Any:
    return tree if role is None else tree[role]
