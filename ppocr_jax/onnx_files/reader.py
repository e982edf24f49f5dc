"""Reads weights from ONNX files: from an inference graph to the variables of a network.

The names in such a file are its converter's, so weights are identified by structure. The network is
recognised from the graph; then the graph is compared with the recorded layers of that network, from
the output backwards, and has to agree in every operation, size and connection. A file with folded
batch norm is refused, since its trainable parameters are gone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.traverse_util
import numpy as np
import onnx
from onnx import helper, numpy_helper

from ppocr_jax.errors import UserError, first_line
from ppocr_jax.kernels.batch_norm import EPSILON
from ppocr_jax.models.graph import Layer, in_order
from ppocr_jax.onnx_files.door import load_onnx
from ppocr_jax.onnx_files.layout import NORM, place_leaf

SCALES = (0.35, 0.5, 0.75, 1.0, 1.25)  # of MobileNetV3 in PaddleOCR
WIDEST = 960  # channels of MobileNetV3's last layer at scale 1
PLAIN = {  # operations without weights and options, and their names in `models.graph`
    "Relu": "relu",
    "HardSwish": "hard_swish",
    "Sigmoid": "sigmoid",
    "GlobalAveragePool": "mean",
    "Add": "add",
    "Mul": "multiply",
    "Concat": "concat",
}
POOLS = {"MaxPool": ("max_pool", 3, 1), "AveragePool": ("mean_pool", 2, 0)}  # kernel, padding


def read_onnx(
    path: str | os.PathLike[str],
    describe: Callable[[Mapping[str, Any]], Layer],
    network: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Variables of the detector in an ONNX file, with exactly the values in the file.

    Args:
        path: of the file.
        describe: `network -> Layer`, the recorded output of a network, see `detector.describe`.
        network: the network in the file, as an entry of `config.roles`; None to recognise it from
            the graph.

    Returns:
        `{"params", "batch_stats"}` of float32 NumPy arrays, without the threshold branch, which
        inference files lack.

    Raises:
        UserError: not an ONNX file, folded batch norm, or a network other than a detector.
    """
    model = load_onnx(path)
    try:
        onnx.checker.check_model(model)
        return _take(path, _Reader(model), describe, network)
    except UserError:
        raise
    except Exception as error:  # anything may be missing in a graph, or of another type
        reason = first_line(error).removeprefix("ValidationError: ")
        raise UserError(f"{path}: its graph is damaged, or not a detector's ({reason})") from None


def _take(
    path: str | os.PathLike[str],
    graph: _Reader,
    describe: Callable[[Mapping[str, Any]], Layer],
    network: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The variables for `read_onnx`."""
    layers = in_order(graph.output)
    if not any(layer.op == "norm" for layer in layers):
        raise UserError(
            f"{path}: batch norm is folded into its convolutions, so the trainable parameters "
            "cannot be recovered; use the weights that it was made from"
        )
    expected = describe(network or _recognise(path, layers, graph.arrays))
    flat = dict(
        place_leaf(layer, leaf, array)
        for layer, found in _pair(path, expected, graph.output)
        for leaf, array in graph.arrays[found].items()
    )
    return flax.traverse_util.unflatten_dict(flat)


class _Reader:
    """The graph of a file as layers, in the terms of `models.graph`.

    Attributes:
        output: the layer of the graph's first output.
        arrays: `{layer: {leaf: array}}` of the layers with weights.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self._constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        self.arrays: dict[Layer, dict[str, np.ndarray]] = {}
        self._layers: dict[str, Layer] = {}  # by the name of their output
        for tensor in graph.input:
            if tensor.name not in self._constants:
                self._layers[tensor.name] = Layer("input")
        for node in graph.node:
            self._read(node, {a.name: helper.get_attribute_value(a) for a in node.attribute})
        self.output = self._layers[graph.output[0].name]

    def _read(self, node: onnx.NodeProto, attributes: dict[str, Any]) -> None:
        """Adds the outputs of one node. ONNX stores nodes in the order of execution."""
        if node.op_type == "Constant" and "value" in attributes:
            self._constants[node.output[0]] = numpy_helper.to_array(attributes["value"])
        elif node.op_type == "Identity" and node.input[0] in self._constants:
            self._constants[node.output[0]] = self._constants[node.input[0]]
        elif node.op_type == "Identity":
            self._layers[node.output[0]] = self._layers[node.input[0]]
        else:
            layer = self._layer(node, attributes)
            self._layers |= dict.fromkeys(node.output, layer)

    def _layer(self, node: onnx.NodeProto, attributes: dict[str, Any]) -> Layer:
        """The layer that a node stands for.

        A node with options that none of our layers has keeps them, so that no comparison with our
        layers can succeed.
        """
        inputs = tuple(self._layers[name] for name in node.input if name in self._layers)
        values = [self._constants[name] for name in node.input if name in self._constants]
        if node.op_type in ("Conv", "ConvTranspose") and len(inputs) == 1 and values:
            return self._convolution(node, attributes, inputs, values)
        if node.op_type == "BatchNormalization" and len(values) == 4:
            same = abs(attributes.get("epsilon", EPSILON) - EPSILON) < 1e-9
            options = {} if same else {"epsilon": attributes["epsilon"]}
            return self._with_weights(
                Layer("norm", inputs, node.name, options), dict(zip(NORM, values, strict=True))
            )
        if len(inputs) == len(values) == 1 and inputs[0].op == "input":
            return inputs[0]  # a part of the normalisation of the pixels
        if node.op_type == "Add" and len(inputs) == len(values) == 1:
            return self._biased(node, inputs[0], values[0])
        if node.op_type == "Resize" and values and values[-1].size == 4:
            options = {"factor": float(values[-1][3])} if _is_nearest(attributes) else attributes
            return Layer("upsample", inputs, node.name, options)
        if node.op_type in POOLS:
            op, size, pad = POOLS[node.op_type]
            wanted = {"kernel_shape": [size] * 2, "strides": [2] * 2, "pads": [pad] * 4}
            given = {key: attributes.get(key, [0] * 4) for key in wanted}
            return Layer(op, inputs, node.name, {} if given == wanted else given)
        if node.op_type == "HardSigmoid":  # slope 0.2 in squeeze-excite, 1/6 in hard swish
            slope = attributes.get("alpha", 0.2)
            known = {0.2: "gate", 1 / 6: "hard_sigmoid"}
            op = next((op for alpha, op in known.items() if abs(slope - alpha) < 1e-6), "other")
            return Layer(op, inputs, node.name)
        if node.op_type == "Mul" and len(inputs) == 2:  # hard swish as x * hard_sigmoid(x)
            for x, gate in (inputs, inputs[::-1]):
                if gate.op == "hard_sigmoid" and gate.inputs == (x,):
                    return Layer("hard_swish", (x,), node.name)
        return Layer(PLAIN.get(node.op_type, node.op_type), inputs, node.name)

    def _convolution(
        self,
        node: onnx.NodeProto,
        attributes: dict[str, Any],
        inputs: tuple[Layer, ...],
        values: list[np.ndarray],
    ) -> Layer:
        size = values[0].shape[-1]
        stride = attributes.get("strides", [1, 1])[0]
        transposed = node.op_type == "ConvTranspose"
        options: dict[str, Any] = {"bias": len(values) > 1}
        if not transposed:
            group = attributes.get("group", 1)
            options |= {"size": size, "stride": stride, "depthwise": group > 1}
        pads = attributes.get("pads", [0] * 4)
        unusual: tuple[str, ...] = ("auto_pad", "output_padding")
        odd = {key: attributes[key] for key in unusual if key in attributes}
        if pads != [0 if transposed else size // 2] * 4 or odd or (transposed and stride != 2):
            options |= {"pads": pads, **odd}  # none of our layers has these
        arrays = dict(zip(("weight", "bias"), values, strict=False))
        return self._with_weights(
            Layer("deconv" if transposed else "conv", inputs, node.name, options), arrays
        )

    def _biased(self, node: onnx.NodeProto, layer: Layer, value: np.ndarray) -> Layer:
        """A convolution whose bias is added by a separate operation."""
        if layer.op not in ("conv", "deconv") or layer.options["bias"]:
            return Layer("add of a constant", (layer,), node.name)
        options = {**layer.options, "bias": True}
        arrays = {**self.arrays[layer], "bias": value.reshape(-1)}
        return self._with_weights(Layer(layer.op, layer.inputs, layer.name, options), arrays)

    def _with_weights(self, layer: Layer, arrays: dict[str, np.ndarray]) -> Layer:
        """Stores the arrays of a layer: a kernel `[., ., kh, kw]` and vectors, or vectors alone.

        Raises:
            ValueError: other shapes, or values that are not float32.
        """
        axes = 1 if layer.op == "norm" else 4
        first, *others = arrays.values()
        length = first.shape[1 if layer.op == "deconv" else 0] if first.ndim == axes else None
        vectors = all(array.shape == (length,) for array in others)
        if not vectors or any(array.dtype != np.float32 for array in arrays.values()):
            raise ValueError(f"{layer.name or layer.op}: not the float32 weights of a {layer.op}")
        self.arrays[layer] = arrays
        return layer


def _is_nearest(attributes: Mapping[str, Any]) -> bool:
    """Whether a Resize repeats each pixel, as our upsampling does."""
    wanted = {
        "mode": b"nearest",
        "coordinate_transformation_mode": b"asymmetric",
        "nearest_mode": b"floor",
    }
    return all(attributes.get(key) == value for key, value in wanted.items())


# -- recognition -----------------------------------------------------------------------------------
# A guess from a few properties is enough: the comparison afterwards proves it or refuses the file.


def _recognise(
    path: str | os.PathLike[str],
    layers: Sequence[Layer],
    arrays: Mapping[Layer, Mapping[str, np.ndarray]],
) -> dict[str, Any]:
    """The network that a graph seems to be, as an entry of `config.roles`."""
    # Every neck ends in the only concatenation; the head begins with the convolution behind it.
    fused = [layer for layer in layers if layer.op == "concat"]
    head = [layer for layer in layers if layer.op == "conv" and layer.inputs[0] in fused]
    normed = [layer.inputs[0] for layer in layers if layer.op == "norm"]
    kernels = [arrays[layer]["weight"].shape for layer in normed if layer.op == "conv"]
    if len(fused) != 1 or len(head) != 1 or len(kernels) < 4:
        raise UserError(f"{path}: its graph is not that of a PP-OCRv3 detector")
    _, channels, size, _ = arrays[head[0]]["weight"].shape
    return {
        "backbone": _recognise_backbone(layers, kernels),
        "neck": _recognise_neck(fused[0].inputs[-1], channels),
        "head": {"name": "DBHead", "kernels": (size, 2, 2)},
    }


def _recognise_backbone(
    layers: Sequence[Layer], kernels: Sequence[tuple[int, ...]]
) -> dict[str, Any]:
    """The backbone, from all layers and the shapes of the kernels with batch norm behind them."""
    if any(layer.op == "max_pool" for layer in layers):
        width = kernels[2][0]  # of the third convolution of the stem
        depths = [kernels.count((m, m, 3, 3)) for m in (width * 2**stage for stage in range(4))]
        return {"name": "ResNetVD", "depths": tuple(depths), "width": width}
    widest = max(shape[0] for shape in kernels)
    scale = min(SCALES, key=lambda scale: abs(WIDEST * scale - widest))
    acts = ("relu", "hard_swish")  # squeeze-excite follows them here, bare convolutions in a neck
    gated = any(layer.op == "mean" and layer.inputs[0].op in acts for layer in layers)
    return {"name": "MobileNetV3", "scale": scale, "squeeze_excite": gated}


def _recognise_neck(finest: Layer, channels: int) -> dict[str, Any]:
    """The neck, from the layer that makes the finest of the fused levels."""
    if finest.op in ("add", "multiply"):
        return {"name": "RSEFPN", "channels": channels, "shortcut": finest.op == "add"}
    size = finest.options.get("size")
    if size == 3:
        return {"name": "DBFPN", "channels": channels}
    return {"name": "LKPAN", "channels": channels, "mode": "large" if size == 9 else "lite"}


# -- comparison ------------------------------------------------------------------------------------


def _pair(path: str | os.PathLike[str], expected: Layer, found: Layer) -> list[tuple[Layer, Layer]]:
    """Compares two graphs; returns the pairs `(expected, found)` of their layers with weights.

    First every layer gets all layers of the other graph that could be its counterpart, from the
    input on. Then counterparts are fixed from the output backwards, where there is only one.

    Raises:
        UserError: the graphs differ; it names the first layer without a counterpart.
    """
    candidates = in_order(found)
    equal: dict[Layer, set[Layer]] = {}
    for a in in_order(expected):
        equal[a] = {b for b in candidates if _inputs_alike(a, b, equal) is not None}
        if not equal[a]:
            after = next((x.name for x in a.inputs if x.name), "")
            place = a.name or f"the {a.op} after {after or 'the input'}"
            raise UserError(f"{path}: its graph has nothing like {place}")
    if found not in equal[expected]:
        raise UserError(f"{path}: its graph continues behind the shrink map")
    pairs: dict[Layer, Layer] = {}
    waiting = [(expected, found)]
    while waiting:
        a, b = waiting.pop()
        if pairs.setdefault(a, b) is not b:
            raise UserError(f"{path}: its graph has {a.name or a.op} twice")
        waiting += [pair for pair in _inputs_alike(a, b, equal) or () if pair[0] not in pairs]
    return [(a, b) for a, b in pairs.items() if a.name]


def _inputs_alike(
    a: Layer, b: Layer, equal: Mapping[Layer, set[Layer]]
) -> list[tuple[Layer, Layer]] | None:
    """Pairs of the inputs of two layers if these are alike, else None."""
    if a.op != b.op or a.options != b.options or len(a.inputs) != len(b.inputs):
        return None
    # A converter may swap the operands of additions and products.
    orders = [b.inputs, b.inputs[::-1]] if a.op in ("add", "multiply") else [b.inputs]
    for order in orders:
        pairs = list(zip(a.inputs, order, strict=True))
        if all(y in equal[x] for x, y in pairs):
            return pairs
    return None
