"""Facts of the networks of a config: parameters, operations and memory."""

import functools
import math

import jax
import numpy as np

from ppocr_jax import devices
from ppocr_jax.detection.network import make_predict
from ppocr_jax.errors import UserError
from ppocr_jax.models.detector import build_detector, shapes_of
from ppocr_jax.training import footprint
from ppocr_jax.training.footprint import in_words
from ppocr_jax.weights.sources import load_role, open_source

ASSUMED = (
    "operations are those of the program before XLA fuses it, a multiplication and an addition "
    "counting as two; memory is the compiler's figure for one device: arguments, results and what "
    "is held in between, without what JAX itself, waiting batches and open pictures take"
)


def describe_weights(config, weights):
    """Lines on what weights hold of the networks of a config.

    Raises:
        UserError: they are not there, or belong to other networks.
    """
    source = open_source(weights)
    if source.kind == "onnx":
        return [_describe_onnx(weights)]
    lines = []
    for role in [role or config.best.role for role in source.roles()]:
        if role not in config.roles:
            known = ", ".join(config.roles)
            raise UserError(f"{weights}: holds {role}, which is none of the config's {known}")
        template = shapes_of(build_detector(config.roles[role], config.dtype))
        report = load_role(weights, role, template, trainable=True)[1]  # a backbone will do
        lines.append(f"{role} from {source}: {report}")
    return lines


def _describe_onnx(path):
    from ppocr_jax.onnx_files.door import load_onnx  # onnx: for such files alone

    model = load_onnx(path)
    constants = [node for node in model.graph.node if node.op_type == "Constant"]
    inner = [a.t for node in constants for a in node.attribute if a.name == "value"]
    tensors = [*model.graph.initializer, *inner]
    numbers = sum(math.prod(tensor.dims) for tensor in tensors)
    opset = max((entry.version for entry in model.opset_import if not entry.domain), default=0)
    return (
        f"{path}: {len(model.graph.node) - len(constants)} operators of opset {opset}, "
        f"{numbers:,} numbers in {len(tensors)} tensors; what follows is of the config's network"
    )


def describe_networks(config):
    """A line for each network: its parts and their parameters."""
    return [
        f"{role}: {_parts(network)}; {_count(config, network)}"
        for role, network in config.roles.items()
    ]


def _parts(network):
    return ", ".join(network[part]["name"] for part in ("backbone", "neck", "head"))


def _count(config, network):
    shapes = shapes_of(build_detector(network, config.dtype))
    sizes = parameters_by_part(shapes["params"])
    whole, stats = sum(sizes.values()), sum(map(_size, jax.tree.leaves(shapes["batch_stats"])))
    each = ", ".join(f"{part} {size:,}" for part, size in sizes.items())
    return f"{whole:,} parameters ({each}) and {stats:,} statistics of batch norm"


def parameters_by_part(params):
    """`{part: number of parameters}`; the branches of a head are parts of their own."""
    parts = {}
    for name in sorted(params, key=("backbone", "neck", "head").index):
        inner = params[name] if name == "head" else {"": params[name]}
        for branch, leaves in inner.items():
            part = f"{name}.{branch}" if branch else name
            parts[part] = sum(map(_size, jax.tree.leaves(leaves)))
    return parts


def _size(leaf):
    return math.prod(leaf.shape)


def measure_forward(config, role, size, batch):
    """`footprint.Footprint` of the pass that draws a shrink map, as evaluation runs it.

    Args:
        config: a whole config.
        role: name.
        size: (height, width), pixels, multiples of 32.
        batch: images in one pass.
    """
    model = build_detector(config.roles[role], config.dtype)
    image = jax.ShapeDtypeStruct((batch, *size, 3), np.uint8)
    return footprint.measure(make_predict(model, config.precision), shapes_of(model), image)


def describe_passes(config, role, size, batch, say):
    """Lines on a forward pass, on an update, and on the largest batch; each after its compilation.

    Args:
        config: a whole config.
        role: of the forward pass.
        size: of its images, (height, width).
        batch: images of its pass.
        say: takes lines on what is going on.

    Yields:
        Lines.
    """
    mesh, side = devices.make_mesh(config), config.crop
    where = f"{mesh.size} x {mesh.local_devices[0].device_kind}, {config.dtype}"
    say(f"compiling a forward pass and up to four updates of {side}x{side} on {where}")
    found = measure_forward(config, role, size, batch)
    yield f"forward pass of {role}, {batch} x {size[0]}x{size[1]}: {_figures(found)}"
    update_of = functools.cache(functools.partial(footprint.measure_update, config))
    learning = ", ".join(config.trainable)
    if config.batch_size:
        found = update_of(config.batch_size)
        yield f"update of {learning}, {config.batch_size} x {side}x{side}: {_figures(found)}"
    budget, unit = footprint.find_budget(mesh), mesh.size * config.accumulate
    if budget.memory is None:
        yield "largest batch: unknown, this machine does not say how much memory is free"
        return
    try:
        largest = footprint.find_largest(
            update_of,
            budget,
            unit,
            budget.most or 2**16,
            say,
            beside=lambda: footprint.taken_beside(config, budget, mesh),
        )
    except UserError as error:
        yield f"largest batch: none; {error}"
        return
    at_most = f", and at most {budget.most} on processors" if budget.most else ""
    yield (
        f"largest batch at {side}x{side}: {largest[0]}, {_figures(largest[1])}; "
        f"{budget.words} is {in_words(budget.memory)}{at_most}"
    )


def _figures(found):
    return f"{_operations(found.flops)}, {in_words(found.memory)}"


def _operations(flops):
    for unit, name in ((1e12, "TFLOP"), (1e9, "GFLOP"), (1e6, "MFLOP")):
        if flops >= unit:
            return f"{flops / unit:.3g} {name}"
    return f"{flops:.0f} FLOP"
