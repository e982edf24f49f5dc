"""Which states a run keeps, and the `meta` of each: host code, read without JAX.

`meta` is held against its own checksum, its step against the folder's name, and the hmean that
Orbax ranks a step by against the one in `meta`. What differs is `Damaged`.
"""

import json
import math
import zlib

from etils import epath

from ppocr_jax.errors import UserError
from ppocr_jax.files import read_json
from ppocr_jax.weights.damage import Damaged, reading

FOLDER = "checkpoints"
EXTRACTED = "extracted.json"  # the `meta` of an extracted folder
METRICS = "metrics/metrics"  # below a step: what Orbax ranks the steps by
SEAL = "crc32"  # key of a JSON tree's own checksum
KINDS = {"roles": list, "config": dict, "metrics": dict, "checksums": dict}


def list_steps(workdir):
    """Steps that a workdir holds, ascending."""
    folder = epath.Path(workdir) / FOLDER
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())


def step_folder(workdir, step):
    """Where a step lies; absolute, since Orbax finds no metadata at a relative path."""
    return epath.Path(workdir).resolve() / FOLDER / str(step)


def read_meta(workdir, step):
    """The `meta` of a step, as it was saved.

    Raises:
        Damaged: it is missing or cut short, is not what was saved, or belongs to another step.
        UserError: it cannot be read now.
    """
    folder = step_folder(workdir, step)
    with reading(folder):
        meta = _read_whole(folder / "meta" / "metadata")
        require_seal(meta, f"meta of {folder}")
        require_kinds(meta, f"meta of {folder}")
    if meta.get("step", step) != step:
        raise Damaged(f"{folder} is damaged: its meta is that of step {meta['step']}")
    return meta


def read_extracted(folder):
    """The `meta` of an extracted folder. Raises as `read_meta` does."""
    path = epath.Path(folder) / EXTRACTED
    with reading(folder):
        meta = _read_whole(path)
        require_seal(meta, path)
        require_kinds({**meta, "config": meta.get("config") or {}}, path)
        if len(meta.get("roles", ())) != 1:
            raise Damaged(f"{path} is damaged: it names no role, or several")
    return meta


def require_kinds(meta, place):
    """Refuses a `meta` with values of other kinds than those that are written.

    Raises:
        Damaged: names the key.
    """
    for key, kind in KINDS.items():
        if not isinstance(meta.get(key, kind()), kind):
            raise Damaged(f"{place} is damaged: {key} is no {kind.__name__}")
    if not all(isinstance(role, str) for role in meta.get("roles", ())):
        raise Damaged(f"{place} is damaged: a role's name is no text")
    for role, scored in meta.get("metrics", {}).items():
        if not isinstance(scored, dict) or not _is_number(scored.get("hmean", 0.0)):
            raise Damaged(f"{place} is damaged: the hmean of {role} is no number")


def rank_of(meta):
    """The hmean that a state is ranked by: of the best role; None when it was not evaluated.

    What an older version wrote may not say; then it is None as well.
    """
    if meta.get("evaluated_step", -1) != meta.get("step"):
        return None
    scored = meta.get("metrics", {}).get(best_role(meta))
    hmean = None if scored is None else scored.get("hmean")
    return hmean if hmean is None or math.isfinite(hmean) else -1.0


def best_role(meta):
    """The role that a run chose its best state by; "" where `meta` does not say."""
    best = meta.get("config", {}).get("best")
    role = best.get("role") if isinstance(best, dict) else None
    return role if isinstance(role, str) else ""


def read_rank(workdir, step):
    """What Orbax ranks a step by, its file `metrics`; None where there is none.

    Raises:
        Damaged: the file is there and holds no number.
    """
    path = step_folder(workdir, step) / METRICS
    with reading(path.parent):
        if not path.exists():
            return None
        hmean = _read_whole(path).get("hmean")
        if not _is_number(hmean):
            raise Damaged(f"{path} is damaged: its hmean is no number")
    return hmean


def best_step(workdir):
    """The step with the highest hmean, the newest of equals; None when none was evaluated.

    A step is ranked by its `meta`; by its metrics where `meta` is damaged or older than that.

    Raises:
        Damaged: neither of a step can be read, so that nobody knows which is the best.
    """
    scored = []
    for step in list_steps(workdir):
        try:
            rank = rank_of(read_meta(workdir, step))
        except Damaged:
            rank = None
        rank = read_rank(workdir, step) if rank is None else rank
        scored += [] if rank is None else [(rank, step)]
    return max(scored, default=(None, None))[1]


def seal(tree):
    """A copy of a JSON tree with the checksum of all the rest under `crc32`."""
    tree = json.loads(json.dumps(tree))
    return {**tree, SEAL: _crc_of(tree)}


def is_sealed(tree):
    """Whether a tree says its own checksum; what older versions wrote does not."""
    return SEAL in tree


def require_seal(tree, place):
    """Compares a JSON tree with its own checksum, where it has one.

    Raises:
        Damaged: it is not what was sealed.
    """
    if is_sealed(tree) and tree[SEAL] != _crc_of(tree):
        raise Damaged(f"{place} is damaged: its values are not those that were saved")


def _crc_of(tree):
    rest = {key: value for key, value in tree.items() if key != SEAL}
    return zlib.crc32(json.dumps(rest, sort_keys=True).encode())


def _read_whole(path):
    try:
        return read_json(path)
    except UserError as error:
        raise Damaged(error) from None


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)
