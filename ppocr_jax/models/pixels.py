"""How pixels are shown to the networks: the constants of their normalisation."""

import numpy as np

MEAN = (0.485, 0.456, 0.406)  # of ImageNet's RGB, applied to BGR in that order
STD = (0.229, 0.224, 0.225)


def normalise(image):
    """(image / 255 - mean) / deviation, per channel in the order of the array.

    Args:
        image: uint8 `[..., 3]`, BGR.

    Returns:
        float32 `[..., 3]`.
    """
    scaled = image.astype(np.float32) * np.float32(1.0 / 255.0)
    return (scaled - np.float32(MEAN)) / np.float32(STD)
