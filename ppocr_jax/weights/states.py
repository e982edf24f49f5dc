"""The states that a run keeps, seen by those who read them: steps, `meta`, one role's variables."""

import json

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from ppocr_jax.errors import UserError

FOLDER = "checkpoints"


def list_steps(workdir):
    """Steps that a workdir holds, ascending."""
    folder = epath.Path(workdir) / FOLDER
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


def read_meta(workdir, step):
    """The `meta` of a step."""
    return ocp.Checkpointer(ocp.JsonCheckpointHandler()).restore(
        epath.Path(workdir).resolve() / FOLDER / str(step) / "meta"
    )


def best_step(workdir):
    """The step with the highest hmean, the newest of equals; None when none was evaluated."""
    folder = epath.Path(workdir) / FOLDER
    scored = [(read_hmean(folder / str(step)), step) for step in list_steps(workdir)]
    return max((entry for entry in scored if entry[0] is not None), default=(None, None))[1]


def read_hmean(folder):
    """The hmean that a step was saved with, or None. Raises ValueError when it is damaged."""
    path = folder / "metrics" / "metrics"
    return json.loads(path.read_text())["hmean"] if path.exists() else None


def read_role(folder, role):
    """Variables of one role out of a `state` folder; nothing else is read into memory.

    Args:
        folder: `<workdir>/checkpoints/<step>/state` or `<extracted>/state`.
        role: name, or None for a folder that holds one network alone.

    Returns:
        `{"params", "batch_stats"}` of NumPy arrays.
    """
    folder = epath.Path(folder).resolve()  # Orbax finds no metadata at a relative path
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
        raise UserError(f"{folder}: {len(lost)} arrays are not in the checkpoint")
    return {kind: _drop(got[kind], role) for kind in got}


def _pick(tree, role):
    return tree if role is None else {role: tree[role]}


def _drop(tree, role):
    return tree if role is None else tree[role]
