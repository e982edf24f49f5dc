"""Sources of weights: finds out what is at a path, and reads one role's variables from it.

A path is one of:

- a `.pdparams` file;
- a workdir, which stands for its best checkpoint;
- `<workdir>/best`, `<workdir>/latest` or `<workdir>/<step>`;
- a folder written by `extract`;
- an ONNX file without folded batch norm, such as PaddleOCR's published ones;
- a name that `download` knows.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath

from ppocr_jax.errors import UserError
from ppocr_jax.models import detector
from ppocr_jax.weights import meta as metas
from ppocr_jax.weights import states
from ppocr_jax.weights.checks import require_finite
from ppocr_jax.weights.damage import Damaged
from ppocr_jax.weights.meta import EXTRACTED
from ppocr_jax.weights.paddle import (
    LoadReport,
    array_hash,
    from_paddle,
    from_state,
    paddle_prefix,
    require_parts,
    role_of_prefix,
    role_prefixes,
    select_role,
    to_names,
    to_paddle,
    variables_by_name,
)
from ppocr_jax.weights.pdparams import read_pdparams
from ppocr_jax.weights.published import FILES

AnyPath = str | os.PathLike[str]


class Source(NamedTuple):
    """A file or folder with weights.

    Attributes:
        kind: "pdparams", "onnx", "checkpoint" or "extracted".
        path: the file, the workdir of a checkpoint, or the extracted folder.
        step: of a checkpoint, else None.
        meta: what was saved with the weights: config, roles, metrics; {} for a file.
    """

    kind: str
    path: epath.Path
    step: int | None
    meta: dict[str, Any]

    def roles(self) -> list[str]:
        """Names of the networks in it; [""] for a file with one network without a prefix."""
        if self.kind == "pdparams":
            prefixes = role_prefixes(read_pdparams(str(self.path)))
            return [role_of_prefix(prefix) for prefix in prefixes] or [""]
        if self.kind == "onnx":
            return [""]
        return list(self.meta["roles"])

    @property
    def is_own(self) -> bool:
        """Whether it was saved by this project, in our own tree of variables."""
        return self.kind in ("checkpoint", "extracted")

    @property
    def unverified(self) -> str:
        """The part that could not be checked, since an older version saved no checksum; or ""."""
        if not self.is_own or metas.is_sealed(self.meta):
            return ""
        return "meta" if self.kind == "checkpoint" else EXTRACTED

    def __str__(self) -> str:
        return str(self.path) if self.step is None else f"{self.path} at step {self.step}"


def locate(path: AnyPath) -> AnyPath:
    """The path of weights: a published name becomes its file in the cache, downloaded if necessary.

    Args:
        path: as given by the user. An existing file or folder is returned unchanged, and so is
            anything that is not a published name, with or without `.pdparams`.

    Raises:
        UserError: see `fetch.fetch`.
    """
    name = str(path).removesuffix(".pdparams")
    if name not in FILES or os.path.exists(path) or os.path.exists(f"{path}.pdparams"):
        return path
    from ppocr_jax.weights.fetch import fetch  # HTTP libraries, which only a download needs

    return fetch(name)


def open_source(path: AnyPath) -> Source:
    """Finds out what is at a path. A single file is not read yet.

    Raises:
        UserError: nothing is there, or nothing with weights.
    """
    place = epath.Path(locate(path))
    if place.is_dir():
        if (place / EXTRACTED).exists():
            return Source("extracted", place, None, metas.read_extracted(place))
        if (place / metas.FOLDER).is_dir():
            return _checkpoint(place, "best")
        raise UserError(f"{path}: neither a workdir, nor a checkpoint, nor an extracted folder")
    if (place.parent / metas.FOLDER).is_dir() and not place.exists():
        return _checkpoint(place.parent, place.name)
    return Source("onnx" if place.suffix == ".onnx" else "pdparams", place, None, {})


def _checkpoint(workdir: epath.Path, which: str) -> Source:
    """The checkpoint called "best", "latest" or by its step."""
    steps = metas.list_steps(workdir)
    if not steps:
        raise UserError(f"{workdir}: the run has not saved a state yet")
    step: int | None
    if which == "latest":
        step = steps[-1]
    elif which == "best":
        step = _best_step(workdir, steps)
        if step is None:
            raise UserError(f"{workdir}: nothing was evaluated yet; name {workdir}/latest instead")
    elif which.isdigit() and int(which) in steps:
        step = int(which)
    else:
        names = ", ".join(["best", "latest", *map(str, steps)])
        raise UserError(f"{workdir} holds {names}; there is no {which}")
    if not metas.step_folder(workdir, step).is_dir():  # a running training has just deleted it
        return _checkpoint(workdir, which)
    with _naming_others(workdir, step):
        meta = metas.read_meta(workdir, step)
        if not (meta.get("roles") and "config" in meta):
            raise Damaged(f"meta of {metas.step_folder(workdir, step)} names no roles or no config")
    return Source("checkpoint", workdir, step, meta)


def is_gone(source: Source) -> bool:
    """Whether a checkpoint has been deleted since it was found, by a run that is still going."""
    if source.kind != "checkpoint" or source.step is None:
        return False
    return not metas.step_folder(source.path, source.step).is_dir()


def _best_step(workdir: epath.Path, steps: Sequence[int]) -> int | None:
    try:
        return metas.best_step(workdir)
    except Damaged as error:
        names = ", ".join(f"{workdir}/{step}" for step in steps)
        raise Damaged(f"{error}; so the best is not known: name one of {names}") from None


@contextlib.contextmanager
def _naming_others(workdir: epath.Path, step: int) -> Iterator[None]:
    """Adds the other checkpoints of a run to the message on a damaged one."""
    try:
        yield
    except Damaged as error:
        others = [f"{workdir}/{other}" for other in metas.list_steps(workdir) if other != step]
        advice = f"; name another state: {', '.join(others)}" if others else ""
        raise Damaged(f"{error}{advice}") from None


def read_arrays(source: Source, role: str) -> Mapping[str, np.ndarray]:
    """Arrays of one role by PaddleOCR's names, without a prefix.

    Args:
        source: see `open_source`.
        role: name; a source with a single network gives that one whatever the name.

    Raises:
        UserError: several networks, none of that name; or a layer that PaddleOCR has no name for.
    """
    if source.kind == "pdparams":
        arrays = select_role(read_pdparams(str(source.path)), role, str(source.path))
        require_finite(arrays, source)
        return arrays
    return to_paddle(read_variables(source, role))


def name_arrays(source: Source, role: str) -> Mapping[str, np.ndarray]:
    """As `read_arrays`, but by our own names where PaddleOCR has no name for some layer."""
    return to_names(read_variables(source, role)) if source.is_own else read_arrays(source, role)


def read_tree(source: Source) -> dict[str, np.ndarray]:
    """Arrays of all roles by the names in PaddleOCR's distillation files: `Student2.neck...`.

    Raises:
        UserError: a file with one network, which has no role's name.
    """
    roles = source.roles()
    if roles == [""]:
        raise UserError(f"{source}: holds one network, not the tree of several")
    return {
        paddle_prefix(role) + name: array
        for role in roles
        for name, array in read_arrays(source, role).items()
    }


def read_variables(source: Source, role: str) -> dict[str, Any]:
    """Variables of one role as NumPy arrays; from a file, those that it holds.

    Args:
        source, role: as for `read_arrays`.

    Returns:
        `{"params", "batch_stats"}`.

    Raises:
        UserError: as `read_arrays`; also for damage, and for values that are not finite.
    """
    if source.kind == "pdparams":
        return variables_by_name(read_arrays(source, role))
    if source.kind == "onnx":
        from ppocr_jax.onnx_files.reader import read_onnx  # onnx, which only ONNX files need

        variables = read_onnx(str(source.path), detector.describe)
    else:
        variables = _read_own(source, role)
    require_finite(variables, source)
    return variables


def _read_own(source: Source, role: str) -> dict[str, Any]:
    """Variables from a checkpoint or extracted folder, compared with their checksums."""
    roles = source.roles()
    if role not in roles:
        if len(roles) > 1:
            raise UserError(f"{source}: holds {', '.join(roles)}, not {role}; extract one first")
        role = roles[0]
    saved = source.meta.get("checksums", {})
    if source.step is not None:  # a checkpoint
        folder = metas.step_folder(source.path, source.step)
        try:
            with _naming_others(source.path, source.step):
                return states.read_role(folder / "state", role, saved)
        except UserError:
            if not is_gone(source):
                raise
            raise UserError(
                f"{source}: its run has continued and deleted that state: run the command again"
            ) from None
    variables = states.read_role(source.path / "state", None, saved)
    hash = source.meta.get("hash")  # older versions saved this instead of checksums
    if hash is not None and hash != array_hash(to_names(variables)):
        raise Damaged(f"{source} is damaged: its values are not those of hash {hash}")
    return variables


def load_role(
    path: AnyPath, role: str, template: Mapping[str, Any], trainable: bool
) -> tuple[dict[str, Any], LoadReport]:
    """Loads weights into the network of one role.

    Args:
        path: see the top of this file.
        role: name of the role.
        template: variables of the network; a part that the source lacks keeps these values.
        trainable: whether the role will be trained. Then neck and head may be missing together,
            otherwise only the threshold branch may be.

    Returns:
        `(variables, report)`.

    Raises:
        UserError: a part is incomplete, or a necessary one is missing.
    """
    source = open_source(path)
    try:
        return _load(source, role, template, trainable)
    except UserError:
        if not is_gone(source):
            raise
    # The run of this checkpoint has replaced it by a newer one since it was found.
    return _load(open_source(path), role, template, trainable)


def _load(
    source: Source, role: str, template: Mapping[str, Any], trainable: bool
) -> tuple[dict[str, Any], LoadReport]:
    """See `load_role`."""
    if source.is_own:
        variables, report = from_state(read_variables(source, role), template, str(source))
        report = dataclasses.replace(report, unverified=source.unverified)
    else:
        variables, report = from_paddle(read_arrays(source, role), template, str(source))
    require_parts(report, trainable)
    return variables, report


def fill_initial(variables: Any, fresh: Any) -> Any:
    """Replaces the leaves that are only shapes by initial values.

    Args:
        variables: as `load_role` gives them for a template of ShapeDtypeStructs.
        fresh: the same tree of initial values; None where no leaf is missing.
    """
    if fresh is None:
        return variables
    return jax.tree.map(
        lambda given, new: new if isinstance(given, jax.ShapeDtypeStruct) else given,
        variables,
        fresh,
    )
