"""`checkpoints.json` of a workdir: which checkpoints are `best` and `latest`.

For people, and for scripts in other languages. It is a file and not a link: archives, Windows and
many network disks lose links or turn them into copies, and a copy called `best` would be wrong
after the next evaluation. Our own commands do not read it, so it can be lost or edited without
harm: they find `best` from the checkpoints themselves.
"""

import contextlib
from typing import Any

from etils import epath

from ppocr_jax.files import write_json
from ppocr_jax.weights import meta as metas
from ppocr_jax.weights.damage import Damaged

NAME = "checkpoints.json"


def find_names(workdir: epath.PathLike) -> dict[str, Any]:
    """The content of the file.

    Returns:
        `{"best": {"step", "hmean", "path"}, "latest": {"step", "path"}}`, paths relative to the
        workdir. `best` is None before the first evaluation and where damage hides it, `latest`
        before the first checkpoint.
    """
    steps, best = metas.list_steps(workdir), None
    with contextlib.suppress(Damaged):
        step = metas.best_step(workdir)
        if step is not None:
            hmean = metas.read_rank(workdir, step)
            best = {"step": step, "hmean": hmean, "path": f"{metas.FOLDER}/{step}"}
    return {
        "best": best,
        "latest": {"step": steps[-1], "path": f"{metas.FOLDER}/{steps[-1]}"} if steps else None,
    }


def write_names(workdir: epath.Path) -> None:
    """Writes the file, whole or not at all.

    To be called after a checkpoint is saved and before older ones are deleted, so that it never
    names one that is gone.
    """
    write_json(workdir / NAME, find_names(workdir))
