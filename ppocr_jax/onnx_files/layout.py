"""Leaves of layers in ONNX's names and layouts, there and back."""

import numpy as np

CONVOLUTION = {"weight": ("params", "kernel"), "bias": ("params", "bias")}
NORM = {
    "weight": ("params", "scale"),
    "bias": ("params", "bias"),
    "_mean": ("batch_stats", "mean"),
    "_variance": ("batch_stats", "var"),
}
# Axes of a kernel `[kh, kw, in, out]` in ONNX's order. A transposed one is not flipped.
TO_ONNX = {"conv": (3, 2, 0, 1), "deconv": (2, 3, 0, 1)}
FROM_ONNX = {"conv": (2, 3, 1, 0), "deconv": (2, 3, 0, 1)}


def leaves_of(layer, variables):
    """`{leaf: float32 array}` of a recorded layer with weights."""
    leaves = {}
    for leaf, (collection, name) in (NORM if layer.op == "norm" else CONVOLUTION).items():
        node = variables[collection]
        for word in layer.path:
            node = node.get(word, {})
        if name in node:
            value = np.float32(node[name])
            leaves[leaf] = value.transpose(TO_ONNX[layer.op]) if name == "kernel" else value
    return leaves


def place_leaf(layer, leaf, array):
    """The way back: `(path of the leaf in our variables, array in our layout)`."""
    collection, name = (NORM if layer.op == "norm" else CONVOLUTION)[leaf]
    if name == "kernel":
        array = np.ascontiguousarray(array.transpose(FROM_ONNX[layer.op]))
    return (collection, *layer.path, name), array
