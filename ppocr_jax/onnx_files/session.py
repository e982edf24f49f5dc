"""ONNX files at work: onnxruntime behind the signature of the JAX networks, and what they say.

A file that `export` wrote says in its metadata how it wants to be used; one from elsewhere is
taken for what PaddleOCR publishes: normalised input, any size.
"""

import json

import numpy as np
import onnxruntime

from ppocr_jax.errors import UserError
from ppocr_jax.models.pixels import normalise
from ppocr_jax.onnx_files import PRODUCER


def open_session(path):
    """An onnxruntime session on the CPU.

    Raises:
        UserError: no such file, no ONNX file, or not one image input and one map.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's exceptions have no class in common
        reason = str(error).strip().splitlines()[0].split("failed:")[-1].strip()
        raise UserError(f"{path}: onnxruntime cannot load it: {reason}") from None
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[1] != 3:
        raise UserError(f"{path}: takes no image [N, 3, H, W]; is this a text detector?")
    return session


def metadata_of(session):
    """What `export` wrote into the file, `{key: value}`; {} for a file from elsewhere."""
    meta = session.get_modelmeta()
    if meta.producer_name != PRODUCER:
        return {}
    return {key: json.loads(text) for key, text in meta.custom_metadata_map.items()}


def read_metadata(path):
    """As `metadata_of`, of a file. Raises UserError when there is none."""
    return metadata_of(open_session(path))


def make_onnx_predict(session, name):
    """Returns `(variables, image, area=None) -> maps`, as `network.make_predict` does.

    `variables` is not looked at: the file holds its own. `image` is uint8 `[B, H, W, 3]` BGR; the
    maps are float32 `[B, H, W]`, NumPy. With an `area` each image is run alone at its own size,
    and its map is 0 outside. `name` is that of the file, for messages.
    """
    [source] = session.get_inputs()
    included = metadata_of(session).get("normalisation", {}).get("included", False)
    batch, _, *sides = (side if isinstance(side, int) else None for side in source.shape)

    def run(image):
        size = list(image.shape[1:3])
        if any(want not in (None, side) for want, side in zip(sides, size, strict=True)):
            raise UserError(
                f"{name}: made for {sides[0]}x{sides[1]} pixels, and an image is "
                f"{size[0]}x{size[1]} after resizing"
            )
        values = make_values(image, included)
        step = batch or len(values)
        parts = [values[i : i + step] for i in range(0, len(values), step)]
        return np.concatenate([session.run(None, {source.name: p})[0][:, 0] for p in parts])

    def predict(variables, image, area=None):
        del variables
        image = np.asarray(image)
        if area is None:
            return run(image)
        maps = np.zeros(image.shape[:3], np.float32)
        for index, (height, width) in enumerate(np.asarray(area)):
            alone = image[index : index + 1, :height, :width]
            maps[index : index + 1, :height, :width] = run(alone)
        return maps

    return predict


def make_values(image, included):
    """What a file is fed: float32 `[B, 3, H, W]` of uint8 `[B, H, W, 3]` BGR, raw if `included`."""
    values = image.astype(np.float32) if included else normalise(image)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def describe_session(session):
    """One line on a file: what tells it from another."""
    meta = metadata_of(session)
    if "weights" not in meta:
        return f"onnxruntime {onnxruntime.__version__}, a file from elsewhere"
    return (
        f"onnxruntime {onnxruntime.__version__}, {meta['role']} exported from "
        f"{meta['weights']['from']}, hash {meta['weights']['hash']}"
    )
