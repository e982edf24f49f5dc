"""Where weights come from: a path -> what is there, and one role's variables out of it.

A path is a `.pdparams` file, a workdir (its best state), `<workdir>/latest`, `<workdir>/best`,
`<workdir>/<step>`, a folder that `extract` wrote, an ONNX file whose batch norm is not folded, such
as PaddleOCR's published ones, or a name that `download` knows.
"""

import contextlib
import dataclasses
import os
from typing import Any, NamedTuple

import jax
from etils import epath

from ppocr_jax.errors import UserError
from ppocr_jax.models import detector
from ppocr_jax.weights import meta as metas
from ppocr_jax.weights import states
from ppocr_jax.weights.checks import require_finite
from ppocr_jax.weights.damage import Damaged
from ppocr_jax.weights.meta import EXTRACTED
from ppocr_jax.weights.paddle import (
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


class Source(NamedTuple):
    """A place that holds weights.

    Attributes:
        kind: "pdparams", "onnx", "checkpoint" or "extracted".
        path: the file, the workdir or the folder.
        step: of a checkpoint, else None.
        meta: what was written beside the weights: config, roles, metrics; {} for a file.
    """

    kind: str
    path: epath.Path
    step: int | None
    meta: dict[str, Any]

    def roles(self):
        """Names of the networks in it; [""] for a file that holds one without a prefix."""
        if self.kind == "pdparams":
            prefixes = role_prefixes(read_pdparams(str(self.path)))
            return [role_of_prefix(prefix) for prefix in prefixes] or [""]
        if self.kind == "onnx":
            return [""]
        return list(self.meta["roles"])

    @property
    def is_own(self):
        """Whether it holds a whole state of ours, in our own tree."""
        return self.kind in ("checkpoint", "extracted")

    @property
    def unverified(self):
        """What nothing was compared with, since the version that wrote it kept no checksum."""
        if not self.is_own or metas.is_sealed(self.meta):
            return ""
        return "meta" if self.kind == "checkpoint" else EXTRACTED

    def __str__(self):
        return str(self.path) if self.step is None else f"{self.path} at step {self.step}"


def locate(path):
    """Where the weights given as `path` lie: a published name becomes its file in the cache.

    Args:
        path: as a user gives it. A file or folder that exists is taken as it is, and so is
            whatever is not a published name, with or without `.pdparams`.

    Raises:
        UserError: see `fetch.fetch`.
    """
    name = str(path).removesuffix(".pdparams")
    if name not in FILES or os.path.exists(path) or os.path.exists(f"{path}.pdparams"):
        return path
    from ppocr_jax.weights.fetch import fetch  # HTTP, which nothing but a download needs

    return fetch(name)


def open_source(path):
    """Finds out what lies at `path`.

    Raises:
        UserError: nothing, or nothing that holds weights.
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


def _checkpoint(workdir, which):
    steps = metas.list_steps(workdir)
    if not steps:
        raise UserError(f"{workdir}: the run has not saved a state yet")
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
    if not metas.step_folder(workdir, step).is_dir():  # a run lets go of older states
        return _checkpoint(workdir, which)
    with _naming_others(workdir, step):
        meta = metas.read_meta(workdir, step)
        if not (meta.get("roles") and "config" in meta):
            raise Damaged(f"meta of {metas.step_folder(workdir, step)} names no roles or no config")
    return Source("checkpoint", workdir, step, meta)


def is_gone(source):
    """Whether a state that was found is not there any more, since its run has gone on."""
    return source.kind == "checkpoint" and not metas.step_folder(source.path, source.step).is_dir()


def _best_step(workdir, steps):
    try:
        return metas.best_step(workdir)
    except Damaged as error:
        names = ", ".join(f"{workdir}/{step}" for step in steps)
        raise Damaged(f"{error}; so the best is not known: name one of {names}") from None


@contextlib.contextmanager
def _naming_others(workdir, step):
    """Adds to what is said of a damaged step which others there are."""
    try:
        yield
    except Damaged as error:
        others = [f"{workdir}/{other}" for other in metas.list_steps(workdir) if other != step]
        advice = f"; name another state: {', '.join(others)}" if others else ""
        raise Damaged(f"{error}{advice}") from None


def read_arrays(source, role):
    """Arrays of one role under PaddleOCR's names, without a prefix.

    Args:
        source: see `open_source`.
        role: name; a source that holds a single network gives that one whatever its name.

    Raises:
        UserError: several networks and none of that name; a parameter without such a name.
    """
    if source.kind == "pdparams":
        arrays = select_role(read_pdparams(str(source.path)), role, str(source.path))
        require_finite(arrays, source)
        return arrays
    return to_paddle(read_variables(source, role))


def name_arrays(source, role):
    """As `read_arrays`; where PaddleOCR has no name for all of a state, under our own names."""
    return to_names(read_variables(source, role)) if source.is_own else read_arrays(source, role)


def read_tree(source):
    """Arrays of all roles, under PaddleOCR's names in its distillation files: `Student2.neck...`.

    Raises:
        UserError: a file that holds one network without a role's name.
    """
    roles = source.roles()
    if roles == [""]:
        raise UserError(f"{source}: holds one network, not the tree of several")
    return {
        paddle_prefix(role) + name: array
        for role in roles
        for name, array in read_arrays(source, role).items()
    }


def read_variables(source, role):
    """Variables of one role, as NumPy arrays; of a file those that it holds.

    Raises:
        UserError: as `read_arrays`; damaged, or values that are not finite.
    """
    if source.kind == "pdparams":
        return variables_by_name(read_arrays(source, role))
    if source.kind == "onnx":
        from ppocr_jax.onnx_files.reader import read_onnx  # onnx: for ONNX files alone

        variables = read_onnx(str(source.path), detector.describe)
    else:
        variables = _read_own(source, role)
    require_finite(variables, source)
    return variables


def _read_own(source, role):
    """Variables out of a state of ours, compared with the checksums that it was saved with."""
    roles = source.roles()
    if role not in roles:
        if len(roles) > 1:
            raise UserError(f"{source}: holds {', '.join(roles)}, not {role}; extract one first")
        role = roles[0]
    saved = source.meta.get("checksums", {})
    if source.kind == "checkpoint":
        folder = metas.step_folder(source.path, source.step)
        try:
            with _naming_others(source.path, source.step):
                return states.read_role(folder / "state", role, saved)
        except UserError:
            if not is_gone(source):
                raise
            raise UserError(
                f"{source}: its run has gone on and let go of that state: run the command again"
            ) from None
    variables = states.read_role(source.path / "state", None, saved)
    hash = source.meta.get("hash")  # all that older versions kept
    if hash is not None and hash != array_hash(to_names(variables)):
        raise Damaged(f"{source} is damaged: its values are not those of hash {hash}")
    return variables


def load_role(path, role, template, trainable):
    """Variables of a network for one role, and the report of what was found.

    Args:
        path: see above.
        role: name of the role.
        template: variables of that network; a part that the source lacks keeps these values.
        trainable: whether it will learn; then neck and head may be missing, else only the
            threshold branch may.

    Returns:
        `(variables, LoadReport)`.

    Raises:
        UserError: a part is incomplete, or one that is needed is missing.
    """
    source = open_source(path)
    try:
        return _load(source, role, template, trainable)
    except UserError:
        if not is_gone(source):
            raise
    return _load(open_source(path), role, template, trainable)  # a run has saved a newer one


def _load(source, role, template, trainable):
    """See `load_role`."""
    if source.is_own:
        variables, report = from_state(read_variables(source, role), template, str(source))
        report = dataclasses.replace(report, unverified=source.unverified)
    else:
        variables, report = from_paddle(read_arrays(source, role), template, str(source))
    require_parts(report, trainable)
    return variables, report


def fill_initial(variables, fresh):
    """`variables` with every leaf that is only a shape taken from `fresh`."""
    if fresh is None:
        return variables
    return jax.tree.map(
        lambda given, new: new if isinstance(given, jax.ShapeDtypeStruct) else given,
        variables,
        fresh,
    )
