"""The one door for ONNX files: what comes in stands alone, runs no loop, and is as it was written.

An ONNX file may name other files for its weights, call functions of its own that call each other,
and run loops. A detector needs none of it, and onnxruntime is given only what was looked at here.
"""

import hashlib
import json

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from ppocr_jax.errors import UserError, shown
from ppocr_jax.foreign import read_whole, what_it_is
from ppocr_jax.onnx_files import PRODUCER

MOST_NODES = 20_000  # the largest published detector has some 1,500
MOST_INPUTS = 256  # of one operation
DOMAINS = ("", "ai.onnx", "com.microsoft", "com.microsoft.nchwc")
REFUSED_OPS = {  # beside all that carry a graph: those may run for ever
    "EPContext": "reads other files",
    "Loop": "runs loops",
    "Scan": "runs loops",
    "SequenceMap": "runs loops",
}
SEAL = "checksum"  # the property with the SHA-256 of the file in which it is all 0
BLANK = json.dumps("0" * 64)
# What `export` writes about a file, as far as the program acts on it: {key: JSON type}.
KINDS = {"config": dict, "normalisation": dict, "weights": dict, "role": str}


def load_onnx(path):
    """The `onnx.ModelProto` of a file, looked at.

    Raises:
        UserError: no ONNX file; damaged, where `export` sealed it; it refers to other files, runs
            loops, or holds values that are not finite.
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


def seal(model):
    """The bytes of a model to write, with a checksum of all of them among its properties."""
    for prop in [prop for prop in model.metadata_props if prop.key == SEAL]:
        model.metadata_props.remove(prop)
    prop = model.metadata_props.add(key=SEAL, value=BLANK)
    prop.value = json.dumps(hashlib.sha256(model.SerializeToString()).hexdigest())
    return model.SerializeToString()


def _check_seal(path, model, data):
    seals = [prop.value for prop in model.metadata_props if prop.key == SEAL]
    if not seals:
        return
    sealed = data.replace(seals[0].encode(), BLANK.encode(), 1)
    if len(seals) > 1 or json.dumps(hashlib.sha256(sealed).hexdigest()) != seals[0]:
        raise UserError(
            f"{path}: not as it was exported: its checksum differs; copy it again, or export again"
        )


def metadata_of(model, path):
    """What `export` wrote into a file, `{key: value}`; {} for a file from elsewhere.

    Raises:
        UserError: it is not what `export` writes.
    """
    if model.producer_name != PRODUCER:
        return {}
    found = {}
    for prop in model.metadata_props:
        try:
            found[prop.key] = json.loads(prop.value)
        except (ValueError, RecursionError):
            raise UserError(f"{path}: its metadata {_short(prop.key)!r} is no JSON") from None
    for key, kind in KINDS.items():
        if not isinstance(found.get(key, kind()), kind):
            raise UserError(f"{path}: its metadata {key!r} is not what export writes")
    if not isinstance(found.get("normalisation", {}).get("included", False), bool):
        raise UserError(f"{path}: its metadata 'normalisation.included' is not true or false")
    return found


def _check_graph(path, model):
    """Refuses what reads other files, may run for ever, or is no number."""
    if model.functions:
        raise UserError(f"{path}: its graph calls functions of its own: inline them first")
    if model.training_info:
        raise UserError(f"{path}: holds a training graph: export it for inference")
    graphs, nodes = [model.graph], 0
    while graphs:
        graph = graphs.pop()
        nodes += len(graph.node)
        if nodes > MOST_NODES:
            raise UserError(f"{path}: more than {MOST_NODES} operations: no text detector")
        if graph.sparse_initializer:
            raise UserError(f"{path}: holds sparse tensors, which no detector has")
        for tensor in graph.initializer:
            _check_tensor(path, tensor, tensor.name)
        for node in graph.node:
            graphs += _check_node(path, node)


def _check_node(path, node):
    """Gives the graphs in a node."""
    name = f"{node.domain}.{node.op_type}".lstrip(".")
    if node.domain not in DOMAINS:
        raise UserError(f"{path}: its operation {_short(name)!r} is none of ONNX's own")
    inner = [g for a in node.attribute for g in (*a.graphs, *([a.g] if a.HasField("g") else []))]
    why = REFUSED_OPS.get(node.op_type, "runs graphs of its own" if inner else None)
    if why and node.op_type != "If":
        raise UserError(f"{path}: its operation {_short(name)!r} {why}; no detector needs that")
    if len(node.input) > MOST_INPUTS:
        raise UserError(f"{path}: an operation of {len(node.input)} inputs: no text detector")
    for attribute in node.attribute:
        if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
            raise UserError(f"{path}: holds sparse tensors, which no detector has")
        if attribute.HasField("t"):
            _check_tensor(path, attribute.t, attribute.t.name or (node.output or [""])[0])
        for tensor in attribute.tensors:
            _check_tensor(path, tensor, tensor.name)
    return inner


def _check_tensor(path, tensor, name):
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise UserError(
            f"{path}: keeps its weights in another file ({_short(name)}), which is not read: save "
            "it as one file, `onnx.save(onnx.load(FILE), ONE)`"
        )
    array = to_array(path, tensor, name)
    # A scalar may well be infinite: the bound of a Clip.
    if array.dtype.kind == "f" and array.ndim and not np.isfinite(array).all():
        raise UserError(f"{path}: {_short(name)} holds values that are not finite")


def to_array(path, tensor, name):
    """The array of a tensor that lies in the file itself."""
    try:
        return numpy_helper.to_array(tensor)
    except Exception:  # of many classes: sizes, types and fields that do not go together
        raise UserError(
            f"{path}: the tensor {_short(name)} does not hold what its shape and type say"
        ) from None


def _short(name):
    return shown(name[:80])
