"""Normalises pixels for the networks, on the host and on devices alike."""

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

if TYPE_CHECKING:  # host code reads MEAN and STD, and stays free of JAX
    from jaxtyping import Array

MEAN = (0.485, 0.456, 0.406)  # of ImageNet's RGB, applied to BGR in that order
STD = (0.229, 0.224, 0.225)


def normalise(
    image: "UInt8[np.ndarray | Array, '*B H W 3']", dtype: Any = np.float32
) -> "Float[np.ndarray | Array, '*B H W 3']":
    """Normalises an image to (image / 255 - mean) / std.

    PaddleOCR applies ImageNet's statistics for red, green and blue to blue, green and red, in that
    order, and its weights expect it. Padding is black before the normalisation, not 0 after it.

    Args:
        image: BGR, a NumPy or a JAX array.
        dtype: scalar type of the result, such as `np.float32`.

    Returns:
        An array of the same kind as `image`.
    """
    shape = (1,) * (image.ndim - 1) + (3,)
    mean, std = np.asarray(MEAN, dtype).reshape(shape), np.asarray(STD, dtype).reshape(shape)
    return (image.astype(dtype) * dtype(1.0 / 255.0) - mean) / std
