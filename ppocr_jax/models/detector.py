"""The whole network: image -> maps. `build_detector` makes it from a role's part of the config."""

import dataclasses
import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ppocr_jax.errors import UserError
from ppocr_jax.models import BACKBONES, DTYPES, HEADS, NECKS, graph
from ppocr_jax.models import area as areas
from ppocr_jax.models.pixels import normalise

MOST_PARAMETERS = 200_000_000  # of one network; the published teacher has a sixth of them


class Detector(nn.Module):
    """Backbone, neck and head as one linen module.

    Attributes:
        stored: parts that normalise with their stored statistics, and keep them, in training too.
    """

    backbone: nn.Module
    neck: nn.Module
    head: nn.Module
    dtype: Any = jnp.float32
    stored: tuple[str, ...] = ()

    def __call__(self, image, train=False, area=None, all_maps=None):
        """Maps of a batch.

        Args:
            image: `[B, H, W, 3]` BGR, sides multiples of 32: uint8, or already normalised floats.
            train: batch statistics instead of stored ones; the collection `batch_stats` is
                mutable then.
            area: int32 `[B, 2]`, the height and width that each image fills, when they share a
                larger shape; multiples of 32.
            all_maps: threshold and binary map too; default: `train`.

        Returns:
            `{"shrink": ...}` or `{"shrink", "threshold", "binary"}`, each float32 `[B, H, W]`.

        Raises:
            ValueError: a side is no multiple of 32.
        """
        fused = self.features(image, train, area)["neck"]
        with areas.of(image, area):
            all_maps = train if all_maps is None else all_maps
            return self.head(fused, train and "head" not in self.stored, all_maps)

    def features(self, image, train=False, area=None):
        """Taps `{"c2", "c3", "c4", "c5", "neck"}` of the same pass."""
        if image.ndim != 4 or image.shape[1] % 32 or image.shape[2] % 32:
            raise ValueError(f"sides should be multiples of 32, got image {image.shape}")
        if image.dtype == jnp.uint8:
            image = normalise(image, jnp.promote_types(self.dtype, jnp.float32).type)
        with areas.of(image, area):
            pyramid = self.backbone(
                image.astype(self.dtype), train and "backbone" not in self.stored
            )
            fused = self.neck(pyramid, train and "neck" not in self.stored)
        return {**dict(zip(("c2", "c3", "c4", "c5"), pyramid, strict=True)), "neck": fused}


def build_detector(network, dtype="float32", remat=False, stored=()):
    """Detector from a mapping `{"backbone": {"name", ...}, "neck": ..., "head": ...}`.

    Args:
        network: one entry of `config.roles`; what stands beside `name` are the arguments.
        dtype: of the activations: "float32" or "bfloat16" ("float64" needs `jax_enable_x64`).
        remat: whether the backward pass makes the backbone's inner maps anew, to save memory.
        stored: see `Detector`.

    Raises:
        UserError: an unknown name, argument or dtype, or a value that no such part takes.
    """
    if dtype not in DTYPES:
        reason = "; float16 overflows in this detector" if dtype == "float16" else ""
        raise UserError(f"dtype={dtype}: choose float32 or bfloat16{reason}")
    dtype = getattr(jnp, dtype)

    def part(kind, known, **more):
        arguments = {**network[kind], **more}
        name = arguments.pop("name")
        if name not in known:
            raise UserError(f"{kind}.name={name}: known are {known}")
        _check_kinds(f"{kind} {name}", known[name], arguments)
        try:
            return known[name](**arguments, dtype=dtype)
        except (TypeError, ValueError) as error:
            raise UserError(f"{kind} {name}: {error}") from None

    backbone = part("backbone", BACKBONES, **({"remat": True} if remat else {}))
    return Detector(backbone, part("neck", NECKS), part("head", HEADS), dtype, tuple(stored))


def _check_kinds(what, part, arguments):
    """Refuses arguments of another kind than the defaults of a part's attributes."""
    likes = {field.name: field.default for field in dataclasses.fields(part)}
    for key, value in arguments.items():
        like = likes.get(key, dataclasses.MISSING)
        if key in ("parent", "name", "dtype") or not _is_like(value, like):
            raise UserError(f"{what}: {key}={value!r} is not what it takes")


def _is_like(value, like):
    """Whether a value is of a default's kind; a whole number will do for a float."""
    if isinstance(like, tuple):
        return isinstance(value, (tuple, list)) and all(_is_like(v, like[0]) for v in value)
    if isinstance(like, float):
        return type(value) in (int, float) and abs(value) < 1e30
    return not isinstance(like, (bool, int, str)) or type(value) is type(like)


def shapes_of(detector):
    """Shapes and types of the variables of a detector; nothing is computed.

    Raises:
        UserError: a network of a size that nobody trains to detect text.
    """
    shapes = jax.eval_shape(lambda: init_variables(detector, jax.random.key(0)))
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes["params"]))
    if count > MOST_PARAMETERS:
        raise UserError(
            f"config.roles: a network of {count} parameters is more than the {MOST_PARAMETERS} "
            "that one may have"
        )
    return shapes


def init_variables(detector, key):
    """Fresh `{"params", "batch_stats"}` of a detector, by the original's initialisers.

    The network runs on a `graph.Layer`, so that its parameters are all that is made: computing its
    maps as well, or compiling the keys of its tensors together, takes seconds on CPU.
    """
    init = functools.partial(graph.without_remat(detector).init, train=True)
    try:
        variables = init(key, graph.Layer("input", shape=(1, 32, 32, 3)))
    except Exception:  # it does what is not recorded; what is really wrong shows here as well
        variables = jax.jit(init)(key, jnp.zeros((1, 32, 32, 3), detector.dtype))
    return jax.device_put(variables)  # unlike `jnp.asarray`, compiles nothing


def describe(network):
    """The recorded graph of an entry of `config.roles`, see `graph.record`."""
    return graph.record(build_detector(network))
