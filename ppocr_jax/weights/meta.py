"""The checkpoints of a run and the `meta` of each: config, roles, metrics, checksums.

Host code that needs no JAX. A `meta` is compared with its own checksum and its step with the name
of its folder; `Damaged` says that they differ.
"""

import json
import math
import zlib
from collections.abc import Mapping
from typing import Any

from etils import epath

from ppocr_jax.errors import UserError
from ppocr_jax.files import read_json
from ppocr_jax.weights.damage import Damaged, reading

FOLDER = "checkpoints"
EXTRACTED = "extracted.json"  # the `meta` of an extracted folder
METRICS = "metrics/metrics"  # below a step: the hmean that Orbax ranks it by
SEAL = "crc32"  # key of a JSON tree's own checksum
KINDS: dict[str, type] = {"roles": list, "config": dict, "metrics": dict, "checksums": dict}


def list_steps(workdir: epath.PathLike) -> list[int]:
    """Steps with a checkpoint in a workdir, ascending."""
    folder = epath.Path(workdir) / FOLDER
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())


def step_folder(workdir: epath.PathLike, step: int) -> epath.Path:
    """The folder of a checkpoint; absolute, since Orbax finds no metadata at a relative path."""
    return epath.Path(workdir).resolve() / FOLDER / str(step)


def read_meta(workdir: epath.PathLike, step: int) -> dict[str, Any]:
    """The `meta` of a checkpoint, as it was saved.

    Raises:
        Damaged: it is missing, cut short, changed, or of another step.
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


def read_extracted(folder: epath.PathLike) -> dict[str, Any]:
    """The `meta` of an extracted folder.

    Raises:
        Damaged: it is missing, cut short or changed, or does not name exactly one role.
        UserError: it cannot be read now.
    """
    path = epath.Path(folder) / EXTRACTED
    with reading(folder):
        meta = _read_whole(path)
        require_seal(meta, path)
        require_kinds({**meta, "config": meta.get("config") or {}}, path)
        if len(meta.get("roles", ())) != 1:
            raise Damaged(f"{path} is damaged: it names no role, or several")
    return meta


def require_kinds(meta: Mapping[str, Any], place: object) -> None:
    """Refuses a `meta` with values of wrong types, before other code trips over them.

    Args:
        meta: to check.
        place: name of the file, for the message.

    Raises:
        Damaged: names the key.
    """
    for key, kind in KINDS.items():
        if not isinstance(meta.get(key, kind()), kind):
            raise Damaged(f"{place} is damaged: {key} is not a {kind.__name__}")
    if not all(isinstance(role, str) for role in meta.get("roles", ())):
        raise Damaged(f"{place} is damaged: the name of a role is not text")
    for role, scored in meta.get("metrics", {}).items():
        if not isinstance(scored, dict) or not _is_number(scored.get("hmean", 0.0)):
            raise Damaged(f"{place} is damaged: the hmean of {role} is not a number")


def rank_of(meta: Mapping[str, Any]) -> float | None:
    """The hmean that a checkpoint is ranked by: that of the role that chooses `best`.

    Returns:
        None when it was not evaluated, or when an older version did not save it.
    """
    if meta.get("evaluated_step", -1) != meta.get("step"):
        return None
    scored = meta.get("metrics", {}).get(best_role(meta))
    hmean = None if scored is None else scored.get("hmean")
    # NaN cannot be compared; it ranks below every number.
    return hmean if hmean is None or math.isfinite(hmean) else -1.0


def best_role(meta: Mapping[str, Any]) -> str:
    """The role by which a run chose its best checkpoint; "" where `meta` does not say."""
    best = meta.get("config", {}).get("best")
    role = best.get("role") if isinstance(best, dict) else None
    return role if isinstance(role, str) else ""


def read_rank(workdir: epath.PathLike, step: int) -> float | None:
    """The hmean in Orbax's own file beside a checkpoint; None without such a file.

    Raises:
        Damaged: the file exists and holds no number.
    """
    path = step_folder(workdir, step) / METRICS
    with reading(path.parent):
        if not path.exists():
            return None
        hmean = _read_whole(path).get("hmean")
        if not _is_number(hmean):
            raise Damaged(f"{path} is damaged: its hmean is not a number")
    return hmean


def best_step(workdir: epath.PathLike) -> int | None:
    """The step with the highest hmean, the newest among equals; None when none was evaluated.

    A checkpoint is ranked by its `meta`, or by Orbax's file where `meta` is damaged or too old.

    Raises:
        Damaged: neither can be read of some checkpoint, so the best one cannot be known.
    """
    scored: list[tuple[float, int]] = []
    for step in list_steps(workdir):
        try:
            rank = rank_of(read_meta(workdir, step))
        except Damaged:
            rank = None
        rank = read_rank(workdir, step) if rank is None else rank
        scored += [] if rank is None else [(rank, step)]
    return max(scored)[1] if scored else None


def seal(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a JSON tree with a checksum of everything else under the key `crc32`."""
    tree = json.loads(json.dumps(tree))  # as it will be read: tuples become lists, keys text
    return {**tree, SEAL: _crc_of(tree)}


def is_sealed(tree: Mapping[str, Any]) -> bool:
    """Whether a tree holds its own checksum; older versions wrote none."""
    return SEAL in tree


def require_seal(tree: Mapping[str, Any], place: object) -> None:
    """Compares a JSON tree with its own checksum, where it has one.

    Raises:
        Damaged: it has changed since it was sealed.
    """
    if is_sealed(tree) and tree[SEAL] != _crc_of(tree):
        raise Damaged(f"{place} is damaged: its values are not those that were saved")


def _crc_of(tree: Mapping[str, Any]) -> int:
    rest = {key: value for key, value in tree.items() if key != SEAL}
    return zlib.crc32(json.dumps(rest, sort_keys=True).encode())


def _read_whole(path: epath.Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except UserError as error:
        raise Damaged(str(error)) from None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
