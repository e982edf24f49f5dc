"""Extracts one network from a run, into a folder of our own or a `.pdparams` file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from ppocr_jax import __version__, forms
from ppocr_jax.errors import UserError, shown, tell
from ppocr_jax.files import replacing, write_json
from ppocr_jax.locks import hold_output
from ppocr_jax.weights import sources
from ppocr_jax.weights.checks import checksum
from ppocr_jax.weights.meta import EXTRACTED, seal
from ppocr_jax.weights.paddle import array_hash
from ppocr_jax.weights.pdparams import read_pdparams, write_pdparams
from ppocr_jax.weights.sources import Source


def choose_role(source: Source, role: str | None) -> str:
    """The role to extract: the named one, else the only one, else the best role of the run.

    Args:
        source: of the weights.
        role: name, "all", or None.

    Raises:
        UserError: no such role, or several and none named.
    """
    roles = source.roles()
    if role:
        if role == "all" and roles != [""]:
            return role
        if role not in roles and roles != [""]:
            raise UserError(f"{source}: holds {', '.join(roles)}, not {role}")
        return role
    if len(roles) == 1:
        return roles[0]
    best = source.meta.get("config", {}).get("best", {}).get("role")
    if best in roles:
        return best
    raise UserError(f"{source}: holds {', '.join(roles)}: say which with --role")


def write_folder(output: epath.PathLike, variables: Any, meta: Mapping[str, Any]) -> None:
    """Writes an extracted folder: `state/` by Orbax, `extracted.json`, `config.json`.

    It is complete or absent: written under a temporary name and then moved.

    Args:
        output: path of the folder.
        variables: `{"params", "batch_stats"}` of one network.
        meta: the content of `extracted.json`; its `config` also becomes `config.json`.
    """
    variables = jax.tree.map(np.asarray, variables)
    meta = seal({**meta, "checksums": {kind: checksum(part) for kind, part in variables.items()}})
    with replacing(epath.Path(output).resolve()) as temporary:
        temporary.mkdir()
        with ocp.StandardCheckpointer() as writer:
            writer.save(temporary / "state", variables)
        write_json(temporary / EXTRACTED, meta)
        if meta.get("config"):
            write_json(temporary / "config.json", meta["config"])


def extract(weights: str, role: str | None, output: epath.PathLike) -> str:
    """Writes one role of some weights.

    Args:
        weights: see `sources`.
        role: see `choose_role`.
        output: path of a `.pdparams` file or of a folder.

    Returns:
        A line on what was written.

    Raises:
        UserError: weights that cannot be read, no such role, or a folder with other content.
    """
    source = open_weights(weights)
    role = choose_role(source, role)
    output = epath.Path(output)
    if output.is_dir() and any(output.iterdir()) and not (output / EXTRACTED).exists():
        raise UserError(f"--output {output}: is a folder with other content; name another one")
    if role == "all" and output.suffix != ".pdparams":
        raise UserError(f"--output {output}: should end in .pdparams to hold all roles together")
    with hold_output(output):
        arrays = write(source, role, output)
    count = sum(array.size for array in arrays.values())
    old = f"; {source.unverified} without a checksum (older version)" * bool(source.unverified)
    return (
        f"{role or 'network'} of {source}: {len(arrays)} tensors, {count} numbers -> {output}{old}"
    )


def write(source: Source, role: str, output: epath.Path) -> Mapping[str, np.ndarray]:
    """Writes one role of a source, or "all"; returns its arrays by name."""
    arrays: Mapping[str, np.ndarray]
    if output.suffix == ".pdparams":
        whole = role == "all"
        arrays = sources.read_tree(source) if whole else sources.read_arrays(source, role)
        write_pdparams(str(output), arrays)
    else:
        arrays = sources.name_arrays(source, role)
        meta = {
            "role": role,
            "roles": [role],
            "from": str(source),
            "step": source.step,
            "config": _config_of(source),
            "metrics": {k: v for k, v in source.meta.get("metrics", {}).items() if k == role},
            "hash": array_hash(arrays),
            "version": __version__,
        }
        write_folder(output, sources.read_variables(source, role), meta)
    return arrays


def _config_of(source: Source) -> dict[str, Any] | None:
    """The config saved with the weights, in the present form; None without one."""
    saved = source.meta.get("config")
    if saved is None:
        return None
    tree, lines = forms.upgrade(saved, str(source))
    for line in lines:  # on what was changed to bring it into the present form
        tell(f"{source}: {line}")
    return {"form": forms.FORM, **tree}


def open_weights(weights: str) -> Source:
    """As `sources.open_source`, but reads a `.pdparams` file at once, to refuse it early."""
    source = sources.open_source(weights)
    if source.kind == "pdparams":
        read_pdparams(str(source.path))
    return source


def describe(weights: str) -> list[str]:
    """The content of weights: a line per role, with its hmean where known, and one per tensor."""
    source = open_weights(weights)
    lines = []
    for role in source.roles():
        arrays = sources.name_arrays(source, role)
        size = sum(array.nbytes for array in arrays.values())
        count = sum(array.size for array in arrays.values())
        scored = source.meta.get("metrics", {}).get(role)
        hmean = f", hmean {scored['hmean']:.4f}" if scored else ""
        lines.append(
            f"{role or 'network'}: {len(arrays)} tensors, {count} numbers, {size} bytes{hmean}"
        )
        lines += [f"  {name} {list(array.shape)}" for name, array in arrays.items()]
    return [shown(line) for line in lines]  # names come from the file
