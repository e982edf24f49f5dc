"""The config that lies beside weights: a run's or an extracted folder's, or inside an ONNX file.

People edit a `config.json`, and disks damage it. The weights' own `meta` holds a copy with a
checksum: where the two differ, the differences are named and the copy counts.
"""

from etils import epath

from ppocr_jax import files, forms
from ppocr_jax.errors import UserError
from ppocr_jax.weights import meta as metas
from ppocr_jax.weights.damage import Damaged
from ppocr_jax.weights.meta import EXTRACTED

NAME = "config.json"


def find(weights):
    """The file with the config that belongs to the weights at a path, or None.

    It is a `config.json`, or the ONNX file itself when `export` wrote it. A workdir whose
    `config.json` is lost has it all the same: its states hold a copy.
    """
    place = epath.Path(weights)
    if place.suffix == ".onnx":
        return str(place) if "config" in _metadata(place) else None
    for folder in (place, place.parent):
        if (folder / NAME).exists() or _holds_copy(folder):
            return str(folder / NAME)
    return None


def read(path):
    """The tree of a saved config, as it was written: a `.json` file, or an ONNX file's metadata.

    Raises:
        UserError: not JSON, or an ONNX file that `export` has not written.
    """
    if not str(path).endswith(".onnx"):
        return files.read_json(path)
    metadata = _metadata(path)
    if "config" not in metadata:
        raise UserError(f"{path}: holds no config: `export` has not written it")
    return metadata["config"]


def read_compared(path):
    """As `read`; a `config.json` beside weights of ours is compared with the copy in them.

    Returns:
        `(tree, lines)`: the copy where there is one, and what differs in the file.

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
        return copy, [f"warning: {reason}; the copy in {place} counts"]
    return copy, [f"warning: {path}: {line} in {place}, which counts" for line in lines]


def _differences(tree, copy):
    """`key=value, but value` for each key that differs, both in the present form."""
    old, new = (forms.flatten(forms.upgrade(t)[0]) for t in (tree, copy))
    keys = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    return [f"config.{key}={old.get(key)}, but {new.get(key)}" for key in keys]


def _holds_copy(folder):
    if metas.list_steps(folder):
        return True
    # A folder that was extracted from a file without a config has none either.
    return (folder / EXTRACTED).exists() and bool(metas.read_extracted(folder).get("config"))


def _find_copy(folder):
    """`(config, where)` of the newest state of a folder that is whole; (None, "") without one."""
    for step in reversed(metas.list_steps(folder)):
        try:
            return metas.read_meta(folder, step)["config"], f"checkpoint {step}"
        except (Damaged, KeyError):
            continue
    if (folder / EXTRACTED).exists():
        return metas.read_extracted(folder).get("config") or None, EXTRACTED
    return None, ""


def _metadata(path):
    # Only ONNX files need it, which takes as long to import as the rest of a command.
    from ppocr_jax.onnx_files.session import read_metadata

    return read_metadata(path)
