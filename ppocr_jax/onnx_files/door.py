"""Loads and checks untrusted ONNX files: self-contained, free of loops, and not damaged.

An ONNX file may read its weights from other files, define functions that call each other, and run
loops. A detector needs none of these. Every ONNX file enters the program here, and onnxruntime
only gets what was checked.
"""

import hashlib
import json
import os
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from ppocr_jax.errors import UserError, shown
from ppocr_jax.foreign import read_whole, what_it_is
from ppocr_jax.onnx_files import PRODUCER

MOST_NODES = 20_000  # the largest published detector has about 1,500
MOST_INPUTS = 256  # of one operation
# Domains of ONNX's and onnxruntime's built-in operations.
DOMAINS = ("", "ai.onnx", "com.microsoft", "com.microsoft.nchwc")
# Refused operations, besides all that contain a graph (except If), since these may run forever.
REFUSED_OPS = {
    "EPContext": "reads other files",
    "Loop": "runs loops",
    "Scan": "runs loops",
    "SequenceMap": "runs loops",
}
SEAL = "checksum"  # metadata key of the SHA-256 of the file with zeros in its place
BLANK = json.dumps("0" * 64)
# The metadata of `export` that the program relies on: {key: JSON type}.
KINDS: dict[str, type] = {"config": dict, "normalisation": dict, "weights": dict, "role": str}


def load_onnx(path: str | os.PathLike[str]) -> onnx.ModelProto:
    """Reads and checks an ONNX file.

    Raises:
        UserError: not an ONNX file; changed since `export` wrote it; it refers to other files,
            runs loops, or holds values that are not finite.
    """
    data = read_whole(path)
    words = what_it_is(data, path)
    if words:
        raise UserError(f"{path}: not an ONNX file but {words}")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        raise UserError(f"{path}: not an ONNX file, or a damaged one; copy it again") from None
    if not model.graph.node:
        raise UserError(f"{path}: an ONNX file without a graph")
    _check_seal(path, model, data)
    _check_graph(path, model)
    return model


def seal(model: onnx.ModelProto) -> bytes:
    """The bytes of a model to write, with a checksum over all of them in its metadata."""
    for prop in [prop for prop in model.metadata_props if prop.key == SEAL]:
        model.metadata_props.remove(prop)
    prop = model.metadata_props.add(key=SEAL, value=BLANK)
    prop.value = json.dumps(hashlib.sha256(model.SerializeToString()).hexdigest())
    return model.SerializeToString()


def _check_seal(path: str | os.PathLike[str], model: onnx.ModelProto, data: bytes) -> None:
    """Compares a file with its checksum, where it has one."""
    seals = [prop.value for prop in model.metadata_props if prop.key == SEAL]
    if not seals:
        return
    # The bytes of the file itself, not of the parsed model: protobuf may serialise it otherwise.
    sealed = data.replace(seals[0].encode(), BLANK.encode(), 1)
    if len(seals) > 1 or json.dumps(hashlib.sha256(sealed).hexdigest()) != seals[0]:
        raise UserError(
            f"{path}: changed since it was exported: its checksum differs; copy it again, or "
            "export again"
        )


def metadata_of(model: onnx.ModelProto, path: str | os.PathLike[str]) -> dict[str, Any]:
    """The metadata that `export` wrote; {} for a file of another program.

    Raises:
        UserError: it has another form than `export` writes.
    """
    if model.producer_name != PRODUCER:
        return {}
    found = {}
    for prop in model.metadata_props:
        try:
            found[prop.key] = json.loads(prop.value)
        except (ValueError, RecursionError):
            raise UserError(f"{path}: its metadata {_short(prop.key)!r} is not JSON") from None
    for key, kind in KINDS.items():
        if not isinstance(found.get(key, kind()), kind):
            raise UserError(f"{path}: its metadata {key!r} is not what export writes")
    if not isinstance(found.get("normalisation", {}).get("included", False), bool):
        raise UserError(f"{path}: its metadata 'normalisation.included' is not true or false")
    return found


def _check_graph(path: str | os.PathLike[str], model: onnx.ModelProto) -> None:
    """Refuses a graph that reads other files, may run forever, or has NaN in its weights."""
    if model.functions:
        raise UserError(f"{path}: its graph calls functions of its own: inline them first")
    if model.training_info:
        raise UserError(f"{path}: holds a training graph: export it for inference")
    graphs, nodes = [model.graph], 0
    while graphs:  # a stack, not recursion: graphs may be nested arbitrarily deeply
        graph = graphs.pop()
        nodes += len(graph.node)
        if nodes > MOST_NODES:
            raise UserError(f"{path}: more than {MOST_NODES} operations: not a text detector")
        if graph.sparse_initializer:
            raise UserError(f"{path}: holds sparse tensors, which no detector has")
        for tensor in graph.initializer:
            _check_tensor(path, tensor, tensor.name)
        for node in graph.node:
            graphs += _check_node(path, node)


def _check_node(path: str | os.PathLike[str], node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Checks one operation; returns the graphs inside it."""
    name = f"{node.domain}.{node.op_type}".lstrip(".")
    if node.domain not in DOMAINS:
        raise UserError(f"{path}: its operation {_short(name)!r} is none of ONNX's own")
    inner = [g for a in node.attribute for g in (*a.graphs, *([a.g] if a.HasField("g") else []))]
    why = REFUSED_OPS.get(node.op_type, "runs graphs of its own" if inner else None)
    if why and node.op_type != "If":
        raise UserError(f"{path}: its operation {_short(name)!r} {why}; no detector needs that")
    if len(node.input) > MOST_INPUTS:
        raise UserError(f"{path}: an operation with {len(node.input)} inputs: not a text detector")
    for attribute in node.attribute:
        if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
            raise UserError(f"{path}: holds sparse tensors, which no detector has")
        if attribute.HasField("t"):
            _check_tensor(path, attribute.t, attribute.t.name or (node.output or [""])[0])
        for tensor in attribute.tensors:
            _check_tensor(path, tensor, tensor.name)
    return inner


def _check_tensor(path: str | os.PathLike[str], tensor: onnx.TensorProto, name: str) -> None:
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise UserError(
            f"{path}: keeps its weights in another file ({_short(name)}), which is not read: save "
            "it as one file, `onnx.save(onnx.load(FILE), ONE)`"
        )
    array = to_array(path, tensor, name)
    # A scalar may be infinite, as a bound of Clip is.
    if array.dtype.kind == "f" and array.ndim and not np.isfinite(array).all():
        raise UserError(f"{path}: {_short(name)} holds values that are not finite")


def to_array(path: str | os.PathLike[str], tensor: onnx.TensorProto, name: str) -> np.ndarray:
    """The values of a tensor.

    Args:
        path: of the file, for the message.
        tensor: with its data in the file itself.
        name: of the tensor, for the message.

    Raises:
        UserError: its data do not fit its shape and type.
    """
    try:
        return numpy_helper.to_array(tensor)
    except Exception:  # of many classes, by what does not fit
        raise UserError(
            f"{path}: the data of tensor {_short(name)} do not fit its shape and type"
        ) from None


def _short(name: str) -> str:
    return shown(name[:80])
