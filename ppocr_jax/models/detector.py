"""The whole network: image -> maps. `build_detector` makes it from a role's part of the config."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ppocr_jax.errors import UserError
from ppocr_jax.models.backbones import MobileNetV3, ResNetVD
from ppocr_jax.models.heads import DBHead
from ppocr_jax.models.keys import derive_on_host
from ppocr_jax.models.layers import Area
from ppocr_jax.models.necks import DBFPN, LKPAN, RSEFPN
from ppocr_jax.models.pixels import MEAN, STD

BACKBONES = {"MobileNetV3": MobileNetV3, "ResNetVD": ResNetVD}
NECKS = {"RSEFPN": RSEFPN, "LKPAN": LKPAN, "DBFPN": DBFPN}
HEADS = {"DBHead": DBHead}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16, "float64": jnp.float64}


def normalise(image, dtype=jnp.float32):
    """Pixels as the networks were trained to see them.

    The mean and deviation of ImageNet's red, green, blue are applied to blue, green, red in that
    order, as in the original: its weights need it. Padding is black before this, not after.

    Args:
        image: uint8 `[..., 3]`, BGR.

    Returns:
        `dtype` `[..., 3]`, (image / 255 - mean) / deviation.
    """
    shape = (1,) * (image.ndim - 1) + (3,)
    mean, std = jnp.asarray(MEAN, dtype).reshape(shape), jnp.asarray(STD, dtype).reshape(shape)
    return (image.astype(dtype) * dtype(1.0 / 255.0) - mean) / std


class Detector(nn.Module):
    """Backbone, neck and head as one linen module."""

    backbone: nn.Module
    neck: nn.Module
    head: nn.Module
    dtype: Any = jnp.float32

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
        taps = self.features(image, train, area)
        return self.head(taps["neck"], train, self._area(image, area), all_maps)

    def features(self, image, train=False, area=None):
        """Taps `{"c2", "c3", "c4", "c5", "neck"}` of the same pass."""
        if image.ndim != 4 or image.shape[1] % 32 or image.shape[2] % 32:
            raise ValueError(f"sides should be multiples of 32, got image {image.shape}")
        if image.dtype == jnp.uint8:
            image = normalise(image, jnp.promote_types(self.dtype, jnp.float32).type)
        area = self._area(image, area)
        pyramid = self.backbone(image.astype(self.dtype), train, area)
        fused = self.neck(pyramid, train, area)
        return {**dict(zip(("c2", "c3", "c4", "c5"), pyramid, strict=True)), "neck": fused}

    def _area(self, image, sizes):
        return None if sizes is None else Area(sizes, image.shape[1])


def build_detector(network, dtype="float32", remat=False):
    """Detector from a mapping `{"backbone": {"name", ...}, "neck": ..., "head": ...}`.

    Args:
        network: one entry of `config.roles`; what stands beside `name` are the arguments.
        dtype: of the activations: "float32" or "bfloat16" ("float64" needs `jax_enable_x64`).
        remat: whether the backward pass makes the backbone's inner maps anew, to save memory.

    Raises:
        UserError: an unknown name, argument or dtype.
    """
    if dtype not in DTYPES:
        reason = "; float16 overflows in this detector" if dtype == "float16" else ""
        raise UserError(f"dtype={dtype}: choose float32 or bfloat16{reason}")
    dtype = DTYPES[dtype]

    def part(kind, known, **more):
        arguments = {**network[kind], **more}
        name = arguments.pop("name")
        if name not in known:
            raise UserError(f"{kind}.name={name}: known are {', '.join(known)}")
        try:
            return known[name](**arguments, dtype=dtype)
        except TypeError as error:
            raise UserError(f"{kind} {name}: {error}") from None

    backbone = part("backbone", BACKBONES, remat=remat)
    return Detector(backbone, part("neck", NECKS), part("head", HEADS), dtype)


@functools.partial(jax.jit, static_argnums=0)  # equal networks share one compilation
def init_variables(detector, key):
    """Fresh `{"params", "batch_stats"}` of a detector, by the original's initialisers."""
    image = jnp.zeros((1, 32, 32, 3), detector.dtype)
    return detector.init(derive_on_host(key), image, train=True)
