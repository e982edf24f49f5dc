"""Names and layouts of weights in ONNX, converted from ours and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ppocr_jax.models.graph import Layer

# ONNX's name of a leaf: (collection, name) of ours.
CONVOLUTION = {"weight": ("params", "kernel"), "bias": ("params", "bias")}
NORM = {
    "weight": ("params", "scale"),
    "bias": ("params", "bias"),
    "_mean": ("batch_stats", "mean"),
    "_variance": ("batch_stats", "var"),
}
# Axes of our kernel `[kh, kw, in, out]` in ONNX's order. A transposed one is not flipped.
TO_ONNX = {"conv": (3, 2, 0, 1), "deconv": (2, 3, 0, 1)}
FROM_ONNX = {"conv": (2, 3, 1, 0), "deconv": (2, 3, 0, 1)}


def leaves_of(layer: Layer, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The weights of one layer by ONNX's names.

    Args:
        layer: a recorded convolution or batch norm.
        variables: `{"params", "batch_stats"}` of the whole network.

    Returns:
        `{leaf: float32 array}` in ONNX's layout; a bias only where the layer has one.
    """
    leaves = {}
    for leaf, (collection, name) in (NORM if layer.op == "norm" else CONVOLUTION).items():
        node = variables[collection]
        for word in layer.path:
            node = node.get(word, {})
        if name in node:
            value = np.asarray(node[name], np.float32)
            leaves[leaf] = value.transpose(TO_ONNX[layer.op]) if name == "kernel" else value
    return leaves


def place_leaf(layer: Layer, leaf: str, array: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """The inverse for one leaf: its path in our variables, and the array in our layout."""
    collection, name = (NORM if layer.op == "norm" else CONVOLUTION)[leaf]
    if name == "kernel":
        array = np.ascontiguousarray(array.transpose(FROM_ONNX[layer.op]))
    return (collection, *layer.path, name), array
