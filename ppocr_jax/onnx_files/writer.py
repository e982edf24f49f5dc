"""A detector as an ONNX model: NCHW, old opsets, batch norm folded into the convolutions.

The graph is written with `onnx.helper` from the layers that `models.graph` records. Every
operation is one that opset 13 knows, so that old runtimes read the file.
"""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ppocr_jax import __version__
from ppocr_jax.errors import UserError
from ppocr_jax.kernels.batch_norm import EPSILON
from ppocr_jax.models.detector import describe
from ppocr_jax.models.graph import in_order
from ppocr_jax.models.pixels import MEAN, STD
from ppocr_jax.onnx_files import PRODUCER
from ppocr_jax.onnx_files.layout import NORM, leaves_of

OPSETS = (13, 17)
IR_VERSION = 8
INPUT, OUTPUT = "x", "maps"


def build_onnx(
    network,
    variables,
    *,
    opset=13,
    shape=None,
    include_normalisation=False,
    fold=True,
    metadata=None,
):
    """The ONNX model of a network's shrink map.

    Args:
        network: one entry of `config.roles`.
        variables: its `{"params", "batch_stats"}`.
        opset: 13 to 17.
        shape: (height, width) of a file for that size and one image alone; None: all are free.
        include_normalisation: the input is raw pixels, else what `pixels.normalise` gives.
        fold: batch norm becomes part of the convolutions, computed in float64; False keeps it as
            operations of its own, from which the weights can be read again.
        metadata: `{key: JSON value}` to store in the file.

    Returns:
        onnx.ModelProto: `x` float32 `[N, 3, H, W]` BGR -> `maps` float32 `[N, 1, H, W]`.

    Raises:
        UserError: another opset, a side that is no multiple of 32, or a network that does
            something without an ONNX form.
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
    """Turns layers into nodes and initializers, each layer once."""

    def __init__(self, variables, fold):
        self._variables, self._fold = variables, fold
        self.nodes, self.initializers = [], []
        self._tensors, self._constants = {}, set()

    def write(self, last, source, include_normalisation):
        """Writes a network whose input is the tensor `source`; its output is called OUTPUT."""
        if include_normalisation:
            source = self._normalise(source)
        layers = in_order(last)
        folded = {layer.inputs[0] for layer in layers if layer.op == "norm"} if self._fold else {}
        for layer in layers:
            if layer.op == "input":
                self._tensors[layer] = source
            elif layer not in folded:
                self._tensors[layer] = self._write(layer)
        self.nodes[-1].output[0] = OUTPUT

    def _normalise(self, source):
        """The arithmetic of `pixels.normalise`, in its order. Not part of the first convolution:
        that pads with zeros, which are no black pixels after normalisation."""
        for op, name, value in (
            ("Mul", "scale", np.float32(1.0 / 255.0)),
            ("Sub", "mean", np.float32(MEAN)),
            ("Div", "deviation", np.float32(STD)),
        ):
            value = self._constant(f"normalise.{name}", value.reshape(1, -1, 1, 1))
            source = self._node(op, [source, value], f"normalise.{op.lower()}")
        return source

    def _write(self, layer):
        """Writes one layer; gives the name of its output."""
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

    def _folded(self, inner, norm):
        """`(kernel, bias)` that do what a convolution and the batch norm behind it do."""
        leaves, norms = leaves_of(inner, self._variables), leaves_of(norm, self._variables)
        kernel, before = np.float64(leaves["weight"]), np.float64(leaves.get("bias", 0.0))
        scale, shift, mean, variance = (np.float64(norms[leaf]) for leaf in NORM)
        factor = scale / np.sqrt(variance + EPSILON)
        along_outputs = (1, -1, 1, 1) if inner.op == "deconv" else (-1, 1, 1, 1)
        kernel = kernel * factor.reshape(along_outputs)
        return np.float32(kernel), np.float32((before - mean) * factor + shift)

    def _convolution(self, layer, kernel, bias):
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

    def _plain(self, layer, inputs):
        """An operation without weights."""
        if layer.op == "hard_swish":  # ONNX's own HardSwish needs opset 14
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
        op, attributes = {
            "relu": ("Relu", {}),
            "sigmoid": ("Sigmoid", {}),
            "gate": ("HardSigmoid", {"alpha": 0.2, "beta": 0.5}),
            "mean": ("GlobalAveragePool", {}),
            "max_pool": ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}),
            "mean_pool": ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
            "add": ("Add", {}),
            "multiply": ("Mul", {}),
            "concat": ("Concat", {"axis": 1}),
        }[layer.op]
        return self._node(op, inputs, **attributes)

    def _node(self, op, inputs, name="", **attributes):
        name = name or f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def _constant(self, name, value):
        if name not in self._constants:
            self._constants.add(name)
            value = np.ascontiguousarray(value, np.float32)
            self.initializers.append(numpy_helper.from_array(value, name))
        return name
