"""The least that an update can read and write while every convolution is a kernel of its own.

Counted layer by layer on the recorded networks. A convolution reads its input and writes its
result; its two gradients read the result's gradient twice and the input once more, and write the
input's. A map that a convolution reads and none wrote is written once, of what it is made from.
Batch norm reads its input once for the statistics; its gradient takes two readings of input and
gradient, and one writing. Elementwise steps cost nothing of their own. Caches are not counted on:
a program whose kernels hold more than one of these steps can stay below.
"""

import math

import jax

from ppocr_jax.models import graph
from ppocr_jax.models.detector import shapes_of

PRODUCTS = ("conv", "deconv")
FLOAT = 4  # bytes
FINAL_PASSES = 5  # of each float32 map: written, read by the losses, their gradient written, read
SLOT_PASSES = 8  # of each parameter: itself, gradient and both moments read and written


def least_bytes(models, trainable, shape, width):
    """`{"maps": bytes, "parameters": bytes}` of one update.

    Args:
        models: `{role: Detector}`.
        trainable: names of the roles that learn.
        shape: of the images, `(B, H, W, 3)`.
        width: bytes of a number of a map.
    """
    maps = parameters = 0
    for role, model in models.items():
        learns = role in trainable
        finals = _record(model, shape, learns)
        maps += _of_maps(finals, learns, width)
        count = sum(leaf.size for leaf in jax.tree.leaves(shapes_of(model)["params"]))
        parameters += FLOAT * count * (SLOT_PASSES if learns else 1)
    return {"maps": maps, "parameters": parameters}


def _record(model, shape, learns):
    """The last layers of a network: the maps that its losses read."""
    bound = graph.without_remat(model).bind({})
    fused = bound.neck(bound.backbone(graph.Layer("input", shape=shape)))
    return list(bound.head(fused, False, learns).values())


def _of_maps(finals, learns, width):
    layers = list(dict.fromkeys(layer for last in finals for layer in graph.in_order(last)))
    read = {layer.inputs[0] for layer in layers if layer.op in PRODUCTS}
    made = {x for x in read if x.op not in (*PRODUCTS, "input")} - {x for x in read if _tiny(x)}
    total = sum(FLOAT * math.prod(last.shape) * (FINAL_PASSES if learns else 2) for last in finals)
    for layer in layers:
        if layer.op in PRODUCTS and not _tiny(layer):
            total += _of_product(layer, learns, width)
        elif layer.op == "norm":
            total += _bytes(layer, width) * (6 if learns else 1)
        elif layer.op == "mean":  # of a gate: its gradient needs the product of map and gradient
            total += _bytes(layer.inputs[0], width) * (3 if learns else 1)
        if layer in made:
            total += _of_made(layer, made, learns, width)
    return total


def _of_product(layer, learns, width):
    source, result = layer.inputs[0], _bytes(layer, width)
    given = math.prod(source.shape) if source.op == "input" else _bytes(source, width)
    total = given + result
    if learns:  # the image needs no gradient
        total += 2 * result + given + (0 if source.op == "input" else given)
    return total


def _of_made(layer, made, learns, width):
    """A map that is made of others between two convolutions, and the gradients of these."""
    sources = _sources(layer, made)
    total = _bytes(layer, width) + sum(_bytes(source, width) for source, _ in sources)
    if learns:  # what goes through a norm is counted there
        total += sum(2 * _bytes(source, width) for source, normed in sources if not normed)
    return total


def _sources(layer, made):
    """`[(layer, whether a norm lies between)]`: the maps in memory that one is made of."""
    found, waiting = {}, [(x, layer.op == "norm") for x in layer.inputs]
    while waiting:
        source, normed = waiting.pop()
        if _tiny(source):
            continue
        if source.op in (*PRODUCTS, "input") or source in made:
            found[source] = found.get(source, True) and normed
        else:
            waiting += [(x, normed or source.op == "norm") for x in source.inputs]
    return list(found.items())


def _tiny(layer):
    """Whether it is a value for each image and channel, no map."""
    return math.prod(layer.shape[1:3]) == 1 if len(layer.shape) == 4 else False


def _bytes(layer, width):
    return width * math.prod(layer.shape)
