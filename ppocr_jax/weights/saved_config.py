"""The config saved with weights: beside a run or an extracted folder, or inside an ONNX file.

A `config.json` may be edited or damaged. The `meta` of the weights holds a copy with a checksum.
Where the two differ, the differences are reported and the copy is used.
"""

import os
from collections.abc import Mapping
from typing import Any

from etils import epath

from ppocr_jax import files, forms
from ppocr_jax.errors import UserError
from ppocr_jax.weights import meta as metas
from ppocr_jax.weights.damage import Damaged
from ppocr_jax.weights.meta import EXTRACTED

NAME = "config.json"


def find(weights: str | os.PathLike[str]) -> str | None:
    """The path of the config that belongs to weights, or None.

    It is a `config.json`, or an ONNX file written by `export`. The `config.json` of a workdir may
    be missing, since the checkpoints hold a copy.

    Args:
        weights: path of a workdir, checkpoint, extracted folder or ONNX file.
    """
    place = epath.Path(weights)
    if place.suffix == ".onnx":
        return str(place) if "config" in _metadata(place) else None
    for folder in (place, place.parent):
        if (folder / NAME).exists() or _holds_copy(folder):
            return str(folder / NAME)
    return None


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The tree of a saved config as it was written.

    Args:
        path: of a `.json` file, or of an ONNX file with the config in its metadata.

    Raises:
        UserError: not JSON, or an ONNX file that `export` did not write.
    """
    if not str(path).endswith(".onnx"):
        return files.read_json(path)
    metadata = _metadata(path)
    if "config" not in metadata:
        raise UserError(f"{path}: holds no config, since `export` did not write it")
    return metadata["config"]


def read_compared(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[str]]:
    """As `read`, but compares a `config.json` with the copy in the weights beside it.

    Returns:
        `(tree, lines)`: the copy where there is one, and warnings on what differs in the file.

    Raises:
        UserError: neither the file nor a copy can be read.
    """
    own = not str(path).endswith(".onnx")
    copy, place = _find_copy(epath.Path(path).parent) if own else (None, "")
    if copy is None:
        return read(path), []
    try:
        lines = _differences(read(path), copy)
    except (UserError, FileNotFoundError) as error:
        reason = str(error) if isinstance(error, UserError) else f"{path} is missing"
        return copy, [f"warning: {reason}; the copy in {place} is used"]
    return copy, [f"warning: {path}: {line} in {place}, which is used" for line in lines]


def _differences(tree: Mapping[str, Any], copy: Mapping[str, Any]) -> list[str]:
    """`key=value, but value` for each key that differs."""
    # Both in the present form: an older version may have written either of them.
    old, new = (forms.flatten(forms.upgrade(t)[0]) for t in (tree, copy))
    keys = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    return [f"config.{key}={old.get(key)}, but {new.get(key)}" for key in keys]


def _holds_copy(folder: epath.Path) -> bool:
    """Whether the weights in a folder hold a config."""
    if metas.list_steps(folder):
        return True
    # A folder that was extracted from a file without a config has none either.
    return (folder / EXTRACTED).exists() and bool(metas.read_extracted(folder).get("config"))


def _find_copy(folder: epath.Path) -> tuple[dict[str, Any] | None, str]:
    """`(config, place)` of the newest undamaged checkpoint in a folder, or `(None, "")`."""
    for step in reversed(metas.list_steps(folder)):
        try:
            return metas.read_meta(folder, step)["config"], f"checkpoint {step}"
        except (Damaged, KeyError):
            continue
    if (folder / EXTRACTED).exists():
        return metas.read_extracted(folder).get("config") or None, EXTRACTED
    return None, ""


def _metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    # Imported here, since onnx takes as long to import as the rest of a command.
    from ppocr_jax.onnx_files.session import read_metadata

    return read_metadata(path)
