"""A lower bound of a training step's traffic, if every convolution is a kernel of its own.

The bytes are counted layer by layer:

* A convolution reads its input and writes its output. Its two gradients read the output's gradient
  twice and the input once more, and write the input's gradient.
* If a convolution reads a map that no convolution wrote (a sum, a concatenation, an activation),
that
  map is written once, from the maps that it is computed from.
* Batch norm reads its input once for the statistics. Its gradient reads input and output gradient
twice
  and writes one map.
* Elementwise operations are free: they fuse into the kernels around them.

Caches are ignored. A program whose kernels combine several of these steps can have less traffic.
"""

import math
from collections.abc import Collection, Mapping, Sequence

import jax

from ppocr_jax.models import graph
from ppocr_jax.models.detector import Detector, shapes_of

PRODUCTS = ("conv", "deconv")
FLOAT = 4  # bytes of a float32
# Passes over each final float32 map of a learning network: written, read by the losses and, once
# more, by their gradient, which is then written and read.
FINAL_PASSES = 5
SLOT_PASSES = 8  # over each parameter: itself, its gradient and both moments, read and written


def least_bytes(
    models: Mapping[str, Detector],
    trainable: Collection[str],
    shape: tuple[int, ...],
    width: int,
) -> dict[str, int]:
    """Returns the lower bound for one training step: `{"maps": bytes, "parameters": bytes}`.

    Args:
        models: `{role: Detector}`.
        trainable: roles that learn.
        shape: of the images, `(B, H, W, 3)`.
        width: bytes per value of a map.
    """
    maps = parameters = 0
    for role, model in models.items():
        learns = role in trainable
        finals = _record(model, shape, learns)
        maps += _of_maps(finals, learns, width)
        count = sum(leaf.size for leaf in jax.tree.leaves(shapes_of(model)["params"]))
        parameters += FLOAT * count * (SLOT_PASSES if learns else 1)
    return {"maps": maps, "parameters": parameters}


def _record(model: Detector, shape: tuple[int, ...], learns: bool) -> list[graph.Layer]:
    """The last layers of a network, whose maps the losses read."""
    # Rematerialisation would hide the layers inside its blocks.
    bound = graph.without_remat(model).bind({})
    fused = bound.neck(bound.backbone(graph.Layer("input", shape=shape)))
    return list(bound.head(fused, False, learns).values())


def _of_maps(finals: Sequence[graph.Layer], learns: bool, width: int) -> int:
    """Bytes of all maps of one network.

    Args:
        finals: its last layers.
        learns: whether it has a backward pass.
        width: bytes per value.
    """
    layers = list(dict.fromkeys(layer for last in finals for layer in graph.in_order(last)))
    read = {layer.inputs[0] for layer in layers if layer.op in PRODUCTS}
    # Maps that have to be written because a convolution reads them, though none wrote them.
    made = {x for x in read if x.op not in (*PRODUCTS, "input")} - {x for x in read if _tiny(x)}
    total = sum(FLOAT * math.prod(last.shape) * (FINAL_PASSES if learns else 2) for last in finals)
    for layer in layers:
        if layer.op in PRODUCTS and not _tiny(layer):
            total += _of_product(layer, learns, width)
        elif layer.op == "norm":
            total += _bytes(layer, width) * (6 if learns else 1)
        elif layer.op == "mean":  # of a gate, whose gradient sums map times gradient
            total += _bytes(layer.inputs[0], width) * (3 if learns else 1)
        if layer in made:
            total += _of_made(layer, made, learns, width)
    return total


def _of_product(layer: graph.Layer, learns: bool, width: int) -> int:
    """Bytes of a convolution and its gradients; weights are counted as parameters."""
    source, result = layer.inputs[0], _bytes(layer, width)
    given = math.prod(source.shape) if source.op == "input" else _bytes(source, width)
    total = given + result
    if learns:  # the filter gradient always, the input gradient except for the image
        total += 2 * result + given + (0 if source.op == "input" else given)
    return total


def _of_made(layer: graph.Layer, made: set[graph.Layer], learns: bool, width: int) -> int:
    """Bytes of a map that is computed from others between convolutions, and of its gradients."""
    sources = _sources(layer, made)
    total = _bytes(layer, width) + sum(_bytes(source, width) for source, _ in sources)
    if learns:  # gradients that pass a norm are counted with the norm
        total += sum(2 * _bytes(source, width) for source, normed in sources if not normed)
    return total


def _sources(layer: graph.Layer, made: set[graph.Layer]) -> list[tuple[graph.Layer, bool]]:
    """The maps in memory that a layer is computed from: `[(layer, whether through a norm)]`."""
    found: dict[graph.Layer, bool] = {}
    waiting = [(x, layer.op == "norm") for x in layer.inputs]
    while waiting:
        source, normed = waiting.pop()
        if _tiny(source):
            continue
        if source.op in (*PRODUCTS, "input") or source in made:
            found[source] = found.get(source, True) and normed
        else:
            waiting += [(x, normed or source.op == "norm") for x in source.inputs]
    return list(found.items())


def _tiny(layer: graph.Layer) -> bool:
    """Whether a layer gives one value per image and channel instead of a map."""
    return math.prod(layer.shape[1:3]) == 1 if len(layer.shape) == 4 else False


def _bytes(layer: graph.Layer, width: int) -> int:
    return width * math.prod(layer.shape)
