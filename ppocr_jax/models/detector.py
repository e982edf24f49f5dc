"""The detector: image -> maps. `build_detector` builds it from a role's entry in the config."""

import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from ppocr_jax.errors import UserError
from ppocr_jax.models import BACKBONES, DTYPES, HEADS, NECKS, graph
from ppocr_jax.models import area as areas
from ppocr_jax.models.pixels import normalise

MOST_PARAMETERS = 200_000_000  # of one network, about six times the published teacher's

Image = UInt8[Array, "B H W 3"] | Float[Array, "B H W 3"]  # BGR; floats are already normalised


class Detector(nn.Module):
    """Backbone, neck and head as one linen module.

    Attributes:
        stored: names of the parts ("backbone", "neck", "head") whose batch norm uses its stored
            statistics in training too, and leaves them unchanged.
    """

    backbone: nn.Module
    neck: nn.Module
    head: nn.Module
    dtype: Any = jnp.float32
    stored: tuple[str, ...] = ()

    def __call__(
        self,
        image: Image,
        train: bool = False,
        area: Int[Array, "B 2"] | None = None,
        all_maps: bool | None = None,
    ) -> dict[str, Float[Array, "B H W"]]:
        """Predicts the maps of a batch.

        Args:
            image: BGR, sides multiples of 32; uint8, or floats that are already normalised.
            train: whether batch norm uses the statistics of the batch; the collection
                `batch_stats` has to be mutable then.
            area: the height and width that each image fills, multiples of 32, if images of
                several sizes share this shape; None: all of it.
            all_maps: whether to predict the threshold and binary maps too; default: `train`.

        Returns:
            `{"shrink"}` or `{"shrink", "threshold", "binary"}`, float32.

        Raises:
            ValueError: a side is not a multiple of 32.
        """
        fused = self.features(image, train, area)["neck"]
        with areas.of(image, area):
            all_maps = train if all_maps is None else all_maps
            return self.head(fused, train and "head" not in self.stored, all_maps)

    def features(
        self, image: Image, train: bool = False, area: Int[Array, "B 2"] | None = None
    ) -> dict[str, Float[Array, "B _ _ _"]]:
        """Feature maps of the backbone and the neck: `{"c2", "c3", "c4", "c5", "neck"}`.

        For arguments and errors see `__call__`.
        """
        if image.ndim != 4 or image.shape[1] % 32 or image.shape[2] % 32:
            raise ValueError(f"sides should be multiples of 32, got image {image.shape}")
        # Bytes are normalised here, so that a quarter of the data travels to the device.
        pixels: Any = image
        if image.dtype == jnp.uint8:
            pixels = normalise(image, jnp.promote_types(self.dtype, jnp.float32).type)
        with areas.of(image, area):
            pyramid = self.backbone(
                pixels.astype(self.dtype), train and "backbone" not in self.stored
            )
            fused = self.neck(pyramid, train and "neck" not in self.stored)
        return {**dict(zip(("c2", "c3", "c4", "c5"), pyramid, strict=True)), "neck": fused}


def build_detector(
    network: Mapping[str, Any],
    dtype: str = "float32",
    remat: bool = False,
    stored: Iterable[str] = (),
) -> Detector:
    """Builds a detector from `{"backbone": {"name", ...}, "neck": {...}, "head": {...}}`.

    Args:
        network: one entry of `config.roles`; the keys beside `name` are attributes of the part.
        dtype: of the activations: "float32" or "bfloat16" ("float64" needs `jax_enable_x64`).
        remat: whether the backward pass recomputes the backbone's inner maps, to save memory.
        stored: see `Detector`.

    Raises:
        UserError: an unknown name, key or dtype, or a value that the part does not accept.
    """
    if dtype not in DTYPES:
        reason = "; float16 overflows in this detector" if dtype == "float16" else ""
        raise UserError(f"dtype={dtype}: choose float32 or bfloat16{reason}")
    scalar = getattr(jnp, dtype)

    def part(kind: str, known: Mapping[str, Any], **more: Any) -> nn.Module:
        arguments = {**network[kind], **more}
        name = arguments.pop("name")
        if name not in known:
            raise UserError(f"{kind}.name={name}: choose one of {known}")
        _check_kinds(f"{kind} {name}", known[name], arguments)
        try:
            return known[name](**arguments, dtype=scalar)
        except (TypeError, ValueError) as error:
            raise UserError(f"{kind} {name}: {error}") from None

    backbone = part("backbone", BACKBONES, **({"remat": True} if remat else {}))
    return Detector(backbone, part("neck", NECKS), part("head", HEADS), scalar, tuple(stored))


def _check_kinds(what: str, part: Any, arguments: Mapping[str, Any]) -> None:
    """Checks the keys of a part's arguments, and their types against the attributes' defaults."""
    likes = {field.name: field.default for field in dataclasses.fields(part)}
    for own in ("parent", "name", "dtype"):  # of Flax, or set by this module
        likes.pop(own, None)
    for key, value in arguments.items():
        if key not in likes:
            raise UserError(f"{what}: unknown key {key}; choose from {', '.join(likes)}")
        if not _is_like(value, likes[key]):
            raise UserError(f"{what}: {key}={value!r} should be like its default, {likes[key]!r}")


def _is_like(value: Any, like: Any) -> bool:
    """Whether a value has the type of a default; an int will do for a float."""
    if isinstance(like, tuple):
        return isinstance(value, (tuple, list)) and all(_is_like(v, like[0]) for v in value)
    if isinstance(like, float):  # the bound excludes infinity and numbers beyond float32's range
        return type(value) in (int, float) and abs(value) < 1e30
    return not isinstance(like, (bool, int, str)) or type(value) is type(like)


def shapes_of(detector: Detector) -> Any:
    """Shapes and dtypes of a detector's variables, as a tree; computes nothing.

    Raises:
        UserError: the network has more than `MOST_PARAMETERS` parameters.
    """
    shapes = jax.eval_shape(lambda: init_variables(detector, jax.random.key(0)))
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes["params"]))
    if count > MOST_PARAMETERS:
        raise UserError(
            f"config.roles: a network of {count} parameters is more than the {MOST_PARAMETERS} "
            "allowed; choose a smaller one"
        )
    return shapes


def init_variables(detector: Detector, key: PRNGKeyArray) -> Any:
    """Initial `{"params", "batch_stats"}` of a detector, with PaddleOCR's initialisers.

    The network is called with a `graph.Layer`, so it creates its parameters and nothing else:
    computing its maps as well, or compiling the initialisation, would take seconds on a CPU.
    """
    init = functools.partial(graph.without_remat(detector).init, train=True)
    try:
        variables = init(key, graph.Layer("input", shape=(1, 32, 32, 3)))
    except Exception:  # it uses what cannot be recorded; a real mistake raises again below
        variables = jax.jit(init)(key, jnp.zeros((1, 32, 32, 3), detector.dtype))
    return jax.device_put(variables)  # unlike `jnp.asarray`, compiles nothing


def describe(network: Mapping[str, Any]) -> graph.Layer:
    """The recorded graph of one entry of `config.roles`, see `graph.record`."""
    return graph.record(build_detector(network))
