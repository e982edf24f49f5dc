"""Batches of images that fill only the upper left part of a common shape.

To give each image the maps that it would get alone, the area outside is set to zero before every
convolution, as if padding began there, and global means run over the inside only. The valid area is
the same for all layers of a forward pass, and few layers look at it. So it lives in a context
variable while the pass is traced, instead of being an argument of every module.
"""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

# Not a plain global: several threads may trace at the same time.
_current: contextvars.ContextVar["Area | None"] = contextvars.ContextVar("area", default=None)


class Area(NamedTuple):
    """The valid part of each image in a batch.

    Attributes:
        sizes: heights and widths in input pixels, multiples of 32.
        height: height of the common input shape, pixels.
    """

    sizes: Int[Array, "B 2"]
    height: int

    def inside(self, x: Float[Array, "B H W C"]) -> Bool[Array, "B H W 1"]:
        """Marks the positions of a feature map that belong to the image."""
        # Sides are multiples of 32, the largest stride, so this division is exact.
        stride = self.height // x.shape[1]
        rows = jnp.arange(x.shape[1])[None, :] < self.sizes[:, :1] // stride
        columns = jnp.arange(x.shape[2])[None, :] < self.sizes[:, 1:] // stride
        return (rows[:, :, None] & columns[:, None, :])[..., None]


@contextlib.contextmanager
def of(image: Float[Array, "B H W 3"], sizes: Int[Array, "B 2"] | None) -> Iterator[None]:
    """Context for the forward pass over `image`: only `sizes` of it are valid; None: all of it."""
    token = _current.set(None if sizes is None else Area(sizes, image.shape[1]))
    try:
        yield
    finally:
        _current.reset(token)


def blank_outside(x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    """Sets a feature map to zero outside the images; returns `x` itself if all of it is valid."""
    area = _current.get()
    return x if area is None else jnp.where(area.inside(x), x, jnp.zeros((), x.dtype))


def mean_inside(x: Float[Array, "B H W C"]) -> Float[Array, "B 1 1 C"]:
    """Mean over the pixels of each image."""
    area = _current.get()
    if area is None:
        return x.mean((1, 2), keepdims=True)
    inside = area.inside(x)
    count = inside.sum((1, 2), keepdims=True).astype(x.dtype)
    return jnp.where(inside, x, jnp.zeros((), x.dtype)).sum((1, 2), keepdims=True) / count
