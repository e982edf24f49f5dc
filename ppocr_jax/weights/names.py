"""`checkpoints.json` of a workdir: which of its states is `best` and which `latest`, by name.

For people, and for scripts that are no Python. It is a file and no link: links are lost or turned
into copies by archives, by Windows and by many network disks, and a copied state that is called
`best` is wrong after the next evaluation. Nothing here reads it, so it can be lost or edited
without harm: every command finds `best` by the states themselves.
"""

from ppocr_jax.files import write_json
from ppocr_jax.weights import meta as metas
from ppocr_jax.weights.damage import Damaged

NAME = "checkpoints.json"


def find_names(workdir):
    """What the file holds: `{"best": {"step", "hmean", "path"}, "latest": {"step", "path"}}`.

    Paths are relative to the workdir. None stands for what there is not: a best state before the
    first evaluation, or where damage keeps it from being known.
    """
    steps = metas.list_steps(workdir)
    try:
        best = metas.best_step(workdir)
        ranked = best is not None and {"step": best, "hmean": metas.read_rank(workdir, best)}
    except Damaged:
        ranked = None
    return {
        "best": {**ranked, "path": f"{metas.FOLDER}/{best}"} if ranked else None,
        "latest": {"step": steps[-1], "path": f"{metas.FOLDER}/{steps[-1]}"} if steps else None,
    }


def write_names(workdir):
    """Writes the file, whole or not at all; call it when a state has come, before others go."""
    write_json(workdir / NAME, find_names(workdir))
