"""The config that lies beside weights: a run's or an extracted folder's, or inside an ONNX file."""

from etils import epath

from ppocr_jax import files
from ppocr_jax.errors import UserError


def find(weights):
    """The file with the config that belongs to the weights at a path, or None.

    It is a `config.json`, or the ONNX file itself when `export` wrote it.
    """
    place = epath.Path(weights)
    if place.suffix == ".onnx":
        return str(place) if "config" in _metadata(place) else None
    for folder in (place, place.parent):
        if (folder / "config.json").exists():
            return str(folder / "config.json")
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


def _metadata(path):
    # Only ONNX files need onnxruntime, which takes as long to import as the rest of a command.
    from ppocr_jax.onnx_files.session import read_metadata

    return read_metadata(path)
