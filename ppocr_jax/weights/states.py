"""One role's variables out of a kept state, held against the checksums that it was saved with."""

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from ppocr_jax.weights.checks import checksum, require_saved
from ppocr_jax.weights.damage import Damaged, reading


def read_role(folder, role, saved):
    """Variables of one role out of a `state` folder; nothing else is read into memory.

    Args:
        folder: `<workdir>/checkpoints/<step>/state` or `<extracted>/state`.
        role: name, or None for a folder that holds one network alone.
        saved: checksums, `{"params/<role>" or "params": CRC-32}`; what is not there is not
            compared.

    Returns:
        `{"params", "batch_stats"}` of NumPy arrays.

    Raises:
        Damaged: arrays are missing, or are not those that were saved.
        UserError: they cannot be read now.
    """
    folder = epath.Path(folder).resolve()
    with reading(folder):
        tree = _read_arrays(folder, role)
        found = {_name_of(kind, role): checksum(part) for kind, part in tree.items()}
        require_saved(found, saved, folder)
    return tree


def _read_arrays(folder, role):
    with ocp.PyTreeCheckpointer() as reader:
        tree = reader.metadata(folder).item_metadata.tree
        wanted = {kind: _pick(tree[kind], role) for kind in ("params", "batch_stats")}
        abstract = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), wanted)
        restore_args = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), abstract)
        got = reader.restore(
            folder,
            args=ocp.args.PyTreeRestore(
                item=abstract, restore_args=restore_args, partial_restore=True
            ),
        )
    lost = [leaf for leaf in jax.tree.leaves(got) if isinstance(leaf, jax.ShapeDtypeStruct)]
    if lost:
        raise Damaged(f"{folder} is damaged: it lacks {len(lost)} arrays")
    return {kind: _drop(got[kind], role) for kind in got}


def _name_of(kind, role):
    return kind if role is None else f"{kind}/{role}"


def _pick(tree, role):
    return tree if role is None else {role: tree[role]}


def _drop(tree, role):
    return tree if role is None else tree[role]
