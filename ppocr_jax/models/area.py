"""Batches whose images fill only the upper left part of a common shape.

Inputs of convolutions are zeroed outside (as if the image ended there and were padded) and means
run over the inside, so that each image gets the maps that it gets alone. What counts is the same
in every layer of a pass, and almost no layer looks at it: it is kept beside the pass, while the
pass is traced, and is no argument of each module.
"""

import contextlib
import contextvars
from typing import NamedTuple

import jax
import jax.numpy as jnp

_current = contextvars.ContextVar("area", default=None)


class Area(NamedTuple):
    """The part of each image that counts.

    Attributes:
        sizes: int32 `[B, 2]`, heights and widths in input pixels, multiples of 32.
        height: pixels, height of the common input shape.
    """

    sizes: jax.Array
    height: int

    def inside(self, x):
        """Bool `[B, H, W, 1]`: which positions of a map belong to its image."""
        stride = self.height // x.shape[1]
        rows = jnp.arange(x.shape[1])[None, :] < self.sizes[:, :1] // stride
        columns = jnp.arange(x.shape[2])[None, :] < self.sizes[:, 1:] // stride
        return (rows[:, :, None] & columns[:, None, :])[..., None]


@contextlib.contextmanager
def of(image, sizes):
    """While a pass over `image` is traced: `sizes` of it count, all of it when that is None."""
    token = _current.set(None if sizes is None else Area(sizes, image.shape[1]))
    try:
        yield
    finally:
        _current.reset(token)


def blank_outside(x):
    """`x` with zeros outside the images; `x` itself when the whole batch counts."""
    area = _current.get()
    return x if area is None else jnp.where(area.inside(x), x, jnp.zeros((), x.dtype))


def mean_inside(x):
    """Mean over the pixels of each image, `[B, 1, 1, C]`."""
    area = _current.get()
    if area is None:
        return x.mean((1, 2), keepdims=True)
    inside = area.inside(x)
    count = inside.sum((1, 2), keepdims=True).astype(x.dtype)
    return jnp.where(inside, x, jnp.zeros((), x.dtype)).sum((1, 2), keepdims=True) / count
