"""Parameters, FLOPs and memory of the networks of a config, for `ppocr-jax info`."""

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import ml_collections
import numpy as np

from ppocr_jax import devices
from ppocr_jax.detection.network import make_predict
from ppocr_jax.errors import UserError
from ppocr_jax.models.detector import build_detector, shapes_of
from ppocr_jax.training import footprint
from ppocr_jax.training.footprint import in_words
from ppocr_jax.weights.sources import load_role, open_source

ASSUMED = (
    "FLOPs are those of the program before XLA's fusion, a multiply-add counted as two; memory is "
    "the compiler's figure for one device: arguments, results and temporaries, without what JAX "
    "itself, waiting batches and open images take"
)


def describe_weights(config: ml_collections.ConfigDict, weights: str) -> list[str]:
    """Lines on which networks of a config the weights hold.

    Raises:
        UserError: there are no such weights, or they belong to other networks.
    """
    source = open_source(weights)
    if source.kind == "onnx":
        return [_describe_onnx(weights)]
    lines = []
    for role in [role or config.best.role for role in source.roles()]:
        if role not in config.roles:
            known = ", ".join(config.roles)
            raise UserError(f"{weights}: holds {role}, but the networks of the config are {known}")
        template = shapes_of(build_detector(config.roles[role], config.dtype))
        report = load_role(weights, role, template, trainable=True)[1]  # a backbone alone is fine
        lines.append(f"{role} from {source}: {report}")
    return lines


def _describe_onnx(path):
    from ppocr_jax.onnx_files.door import load_onnx  # imports onnx, needed here only

    model = load_onnx(path)
    constants = [node for node in model.graph.node if node.op_type == "Constant"]
    inner = [a.t for node in constants for a in node.attribute if a.name == "value"]
    tensors = [*model.graph.initializer, *inner]
    numbers = sum(math.prod(tensor.dims) for tensor in tensors)
    opset = max((entry.version for entry in model.opset_import if not entry.domain), default=0)
    return (
        f"{path}: {len(model.graph.node) - len(constants)} operators of opset {opset}, "
        f"{numbers:,} numbers in {len(tensors)} tensors; the lines below are for the network of "
        "the config"
    )


def describe_networks(config: ml_collections.ConfigDict) -> list[str]:
    """A line for each network: its parts and their parameter counts."""
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
    return f"{whole:,} parameters ({each}) and {stats:,} batch norm statistics"


def parameters_by_part(params: Mapping[str, Any]) -> dict[str, int]:
    """`{part: number of parameters}`; the branches of the head are listed separately."""
    parts = {}
    for name in sorted(params, key=("backbone", "neck", "head").index):
        inner = params[name] if name == "head" else {"": params[name]}
        for branch, leaves in inner.items():
            part = f"{name}.{branch}" if branch else name
            parts[part] = sum(map(_size, jax.tree.leaves(leaves)))
    return parts


def _size(leaf):
    return math.prod(leaf.shape)


def measure_forward(
    config: ml_collections.ConfigDict, role: str, size: tuple[int, int], batch: int
) -> footprint.Footprint:
    """Memory and FLOPs of the forward pass, as evaluation runs it.

    Args:
        config: a whole config.
        role: the network.
        size: (height, width), pixels, multiples of 32.
        batch: images in one pass.
    """
    model = build_detector(config.roles[role], config.dtype)
    image = jax.ShapeDtypeStruct((batch, *size, 3), np.uint8)
    return footprint.measure(make_predict(model, config.precision), shapes_of(model), image)


def describe_passes(
    config: ml_collections.ConfigDict,
    role: str,
    size: tuple[int, int],
    batch: int,
    say: Callable[[str], object],
) -> Iterator[str]:
    """Yields lines on a forward pass, an update and the largest batch, each once it is compiled.

    Args:
        config: a whole config.
        role: network of the forward pass.
        size: (height, width) of its images, pixels.
        batch: images in the forward pass.
        say: takes lines on the progress.
    """
    mesh, side = devices.make_mesh(config), config.crop
    where = f"{mesh.size} x {mesh.local_devices[0].device_kind}, {config.dtype}"
    say(f"compiling a forward pass and up to four updates of {side}x{side} on {where}")
    found = measure_forward(config, role, size, batch)
    yield f"forward pass of {role}, {batch} x {size[0]}x{size[1]}: {_figures(found)}"
    # Cached: the update at the config's batch may be one of those that `find_largest` tries.
    update_of = functools.cache(functools.partial(footprint.measure_update, config))
    learning = ", ".join(config.trainable)
    if config.batch_size:
        found = update_of(config.batch_size)
        yield f"update of {learning}, {config.batch_size} x {side}x{side}: {_figures(found)}"
    budget, unit = footprint.find_budget(mesh), mesh.size * config.accumulate
    if budget.memory is None:
        yield "largest batch: unknown, as is the free memory of this machine"
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
    at_most = f", and at most {budget.most} on CPUs" if budget.most else ""
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
