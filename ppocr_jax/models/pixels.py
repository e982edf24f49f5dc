"""How pixels are shown to the networks: the one normalisation, on the host and on a device."""

import numpy as np

MEAN = (0.485, 0.456, 0.406)  # of ImageNet's RGB, applied to BGR in that order
STD = (0.229, 0.224, 0.225)


def normalise(image, dtype=np.float32):
    """Pixels as the networks were trained to see them.

    The mean and deviation of ImageNet's red, green, blue are applied to blue, green, red in that
    order, as in the original: its weights need it. Padding is black before this, not after.

    Args:
        image: uint8 `[..., 3]`, BGR, of NumPy or JAX.
        dtype: scalar type of the result.

    Returns:
        `dtype` `[..., 3]`, (image / 255 - mean) / deviation, where the image lies.
    """
    shape = (1,) * (image.ndim - 1) + (3,)
    mean, std = np.asarray(MEAN, dtype).reshape(shape), np.asarray(STD, dtype).reshape(shape)
    return (image.astype(dtype) * dtype(1.0 / 255.0) - mean) / std
