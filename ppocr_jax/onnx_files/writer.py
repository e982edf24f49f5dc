"""Writes a detector as an ONNX model: NCHW, batch norm folded into the convolutions.

The graph is built with `onnx.helper` from the layers that `models.graph` records. All operations
exist since opset 13, so that old runtimes can read the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ppocr_jax import __version__
from ppocr_jax.errors import UserError
from ppocr_jax.kernels.batch_norm import EPSILON
from ppocr_jax.models.detector import describe
from ppocr_jax.models.graph import Layer, in_order
from ppocr_jax.models.pixels import MEAN, STD
from ppocr_jax.onnx_files import PRODUCER
from ppocr_jax.onnx_files.layout import NORM, leaves_of

OPSETS = (13, 17)  # lowest and highest that can be asked for
IR_VERSION = 8  # of the file format; what runtimes with opset 17 read
INPUT, OUTPUT = "x", "maps"  # names of PaddleOCR's input, and of the output


def build_onnx(
    network: Mapping[str, Any],
    variables: Mapping[str, Any],
    *,
    opset: int = 13,
    shape: tuple[int, int] | None = None,
    include_normalisation: bool = False,
    fold: bool = True,
    metadata: Mapping[str, Any] | None = None,
) -> onnx.ModelProto:
    """Builds the ONNX model that computes a network's shrink map.

    Args:
        network: one entry of `config.roles`.
        variables: its `{"params", "batch_stats"}`.
        opset: 13 to 17.
        shape: (height, width) for a file that takes one image of this size; None for any batch
            and size.
        include_normalisation: whether the input is raw pixels, otherwise the output of
            `pixels.normalise`.
        fold: whether batch norm becomes part of the convolutions. Otherwise it stays as separate
            operations, from which the weights can be read again.
        metadata: `{key: JSON value}` to store in the file.

    Returns:
        onnx.ModelProto: `x` float32 `[N, 3, H, W]` BGR -> `maps` float32 `[N, 1, H, W]`.

    Raises:
        UserError: another opset, a side that is not a multiple of 32, or a network with an
            operation that has no ONNX form.
    """
    if not OPSETS[0] <= opset <= OPSETS[1]:
        raise UserError(f"opset {opset}: choose one from {OPSETS[0]} to {OPSETS[1]}")
    if shape and any(side <= 0 or side % 32 for side in shape):
        raise UserError(f"shape {shape[0]}x{shape[1]}: both sides should be multiples of 32")
    writer = _Writer(variables, fold)
    writer.write(describe(network), INPUT, include_normalisation)
    sizes = (1, *shape) if shape else ("N", "H", "W")
    graph = helper.make_graph(
        writer.nodes,
        "shrink map",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [sizes[0], 3, *sizes[1:]])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [sizes[0], 1, *sizes[1:]])],
        writer.initializers,
    )
    model = helper.make_model(
        graph,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", opset)],
        producer_name=PRODUCER,
        producer_version=__version__,
    )
    helper.set_model_props(model, {k: json.dumps(v) for k, v in (metadata or {}).items()})
    onnx.checker.check_model(model, full_check=True)
    return model


class _Writer:
    """Turns layers into nodes and initializers, each layer once.

    Attributes:
        nodes, initializers: what was written so far.
    """

    def __init__(self, variables: Mapping[str, Any], fold: bool) -> None:
        self._variables, self._fold = variables, fold
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._tensors: dict[Layer, str] = {}  # names of the outputs of layers
        self._constants: set[str] = set()

    def write(self, last: Layer, source: str, include_normalisation: bool) -> None:
        """Writes a network.

        Args:
            last: its output layer, which is given the name OUTPUT.
            source: name of its input tensor.
            include_normalisation: see `build_onnx`.
        """
        if include_normalisation:
            source = self._normalise(source)
        layers = in_order(last)
        # Convolutions that are written together with the batch norm behind them.
        folded = {layer.inputs[0] for layer in layers if layer.op == "norm"} if self._fold else {}
        for layer in layers:
            if layer.op == "input":
                self._tensors[layer] = source
            elif layer not in folded:
                self._tensors[layer] = self._write(layer)
        self.nodes[-1].output[0] = OUTPUT

    def _normalise(self, source: str) -> str:
        """The arithmetic of `pixels.normalise`, in the same order.

        It cannot be folded into the first convolution, which pads with zeros: after normalisation
        these are not black pixels.
        """
        for op, name, value in (
            ("Mul", "scale", 1.0 / 255.0),
            ("Sub", "mean", MEAN),
            ("Div", "deviation", STD),
        ):
            per_channel = np.asarray(value, np.float32).reshape(1, -1, 1, 1)
            constant = self._constant(f"normalise.{name}", per_channel)
            source = self._node(op, [source, constant], f"normalise.{op.lower()}")
        return source

    def _write(self, layer: Layer) -> str:
        """Writes one layer; returns the name of its output."""
        if layer.op == "norm" and self._fold:
            inner = layer.inputs[0]
            return self._convolution(inner, *self._folded(inner, layer))
        if layer.op in ("conv", "deconv"):
            leaves = leaves_of(layer, self._variables)
            return self._convolution(layer, leaves["weight"], leaves.get("bias"))
        inputs = [self._tensors[x] for x in layer.inputs]
        if layer.op == "norm":
            leaves = leaves_of(layer, self._variables)
            inputs += [self._constant(f"{layer.name}.{leaf}", leaves[leaf]) for leaf in NORM]
            return self._node("BatchNormalization", inputs, layer.name, epsilon=EPSILON)
        return self._plain(layer, inputs)

    def _folded(self, inner: Layer, norm: Layer) -> tuple[np.ndarray, np.ndarray]:
        """Kernel and bias that do what a convolution and the batch norm behind it do together."""
        leaves, norms = leaves_of(inner, self._variables), leaves_of(norm, self._variables)
        # In float64, so that only the result is rounded.
        kernel, before = (np.asarray(leaves.get(k, 0.0), np.float64) for k in ("weight", "bias"))
        scale, shift, mean, variance = (np.asarray(norms[leaf], np.float64) for leaf in NORM)
        factor = scale / np.sqrt(variance + EPSILON)
        along_outputs = (1, -1, 1, 1) if inner.op == "deconv" else (-1, 1, 1, 1)
        kernel = kernel * factor.reshape(along_outputs)
        return kernel.astype(np.float32), ((before - mean) * factor + shift).astype(np.float32)

    def _convolution(self, layer: Layer, kernel: np.ndarray, bias: np.ndarray | None) -> str:
        inputs = [self._tensors[layer.inputs[0]], self._constant(f"{layer.name}.weight", kernel)]
        if bias is not None:
            inputs.append(self._constant(f"{layer.name}.bias", bias))
        if layer.op == "deconv":
            return self._node(
                "ConvTranspose", inputs, layer.name, kernel_shape=[2, 2], strides=[2, 2]
            )
        size, stride = layer.options["size"], layer.options["stride"]
        return self._node(
            "Conv",
            inputs,
            layer.name,
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[size // 2] * 4,
            group=len(kernel) if layer.options["depthwise"] else 1,
        )

    def _plain(self, layer: Layer, inputs: list[str]) -> str:
        """An operation without weights."""
        if layer.op == "hard_swish":  # ONNX has it since opset 14 only
            gate = self._node("HardSigmoid", inputs, alpha=1 / 6, beta=0.5)
            return self._node("Mul", [*inputs, gate])
        if layer.op == "upsample":
            factor = layer.options["factor"]
            scales = self._constant(
                f"upsample.{factor}", np.array([1, 1, factor, factor], np.float32)
            )
            return self._node(
                "Resize",
                [inputs[0], "", scales],
                mode="nearest",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            )
        table: dict[str, tuple[str, dict[str, Any]]] = {
            "relu": ("Relu", {}),
            "sigmoid": ("Sigmoid", {}),
            "gate": ("HardSigmoid", {"alpha": 0.2, "beta": 0.5}),
            "mean": ("GlobalAveragePool", {}),
            "max_pool": ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}),
            "mean_pool": ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
            "add": ("Add", {}),
            "multiply": ("Mul", {}),
            "concat": ("Concat", {"axis": 1}),
        }
        op, attributes = table[layer.op]
        return self._node(op, inputs, **attributes)

    def _node(self, op: str, inputs: list[str], name: str = "", **attributes: Any) -> str:
        """Adds a node; returns its name, which is also that of its output."""
        name = name or f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def _constant(self, name: str, value: np.ndarray) -> str:
        """Adds a float32 constant, once; returns its name."""
        if name not in self._constants:
            self._constants.add(name)
            value = np.ascontiguousarray(value, np.float32)
            self.initializers.append(numpy_helper.from_array(value, name))
        return name
