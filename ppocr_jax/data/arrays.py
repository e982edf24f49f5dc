"""Images given as NumPy arrays -> exactly the pixels that a file with the same image gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ppocr_jax.data.decoding import find_depth, flatten_alpha
from ppocr_jax.data.image_files import MAX_PIXELS

if TYPE_CHECKING:
    from jaxtyping import UInt8

ORDERS = ("bgr", "rgb")
ADVICE = {  # how to convert an object of another type, by the package of its type
    "PIL": "numpy.asarray(image.convert('RGB')) with channels='rgb', or the path of its file",
    "torch": "image.cpu().numpy(), as uint8 and with its channels last",
    "jaxlib": "numpy.asarray(image)",
    "builtins": "cv2.imdecode(numpy.frombuffer(data, 'uint8'), 1) if it is a file's content",
}


def require_array(image: Any) -> None:
    """Refuses what `as_bgr` does not accept, and says how to convert it.

    Raises:
        TypeError: not an array, or neither uint8 nor uint16.
        ValueError: another shape, empty, or too large.
    """
    if not isinstance(image, np.ndarray):
        kind = type(image)
        advice = ADVICE.get(kind.__module__.partition(".")[0])
        # Of Python's own types only bytes may be the content of a file.
        if kind.__module__ == "builtins" and not isinstance(image, (bytes, bytearray)):
            advice = None
        raise TypeError(
            "should be a NumPy array, a path, or a list of these, but is of type "
            f"{kind.__name__}{f'; give {advice}' if advice else ''}"
        )
    if image.dtype.kind != "u" or image.dtype.itemsize > 2:
        raise TypeError(
            f"should be uint8 or uint16, but is {image.dtype}; if its values are 0 to 1, give "
            "(image * 255).round().astype('uint8'); if 0 to 255, image.astype('uint8')"
        )
    if image.ndim == 3 and image.shape[2] not in (1, 3, 4) and image.shape[0] in (1, 3, 4):
        raise ValueError(
            f"should have its channels last, but has shape {image.shape}; give "
            "image.transpose(1, 2, 0)"
        )
    if image.ndim == 4:
        raise ValueError(f"of shape {image.shape} is several images: give list(images)")
    if image.ndim not in (2, 3) or image.ndim == 3 and image.shape[2] not in (1, 3, 4):
        raise ValueError(
            f"should be [height, width], or [height, width, C] with 1, 3 or 4 channels, but has "
            f"shape {image.shape}"
        )
    height, width = image.shape[:2]
    if not height * width:
        raise ValueError(f"is empty: {width}x{height} pixels")
    if height * width > MAX_PIXELS:
        raise ValueError(f"has {width}x{height} pixels, which are too many")


def as_bgr(image: Any, channels: str = "bgr") -> UInt8[np.ndarray, "H W 3"]:
    """Converts an array to uint8 `[H, W, 3]` BGR. The input is not modified.

    Args:
        image: uint8 or uint16, with any strides: `[H, W]` or `[H, W, 1]` grey, `[H, W, 3]` colour,
            or `[H, W, 4]` with alpha last. Transparent parts become white, or black if the opaque
            part is light. 16-bit samples that use only 10, 12 or 14 bits are scaled from those, as
            when a file is read.
        channels: order of the colours, one of `ORDERS`.

    Raises:
        TypeError, ValueError: see `require_array`.
    """
    require_array(image)
    image = np.asarray(image)
    if image.dtype.itemsize == 2:
        # `astype` also gives this machine's byte order; alpha is dropped, as in files.
        image = image.astype(np.uint16)[..., :3] if image.ndim == 3 else image.astype(np.uint16)
        image = np.right_shift(image, find_depth(image) - 8).astype(np.uint8)
    if image.ndim == 2 or image.shape[2] == 1:
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    if image.shape[2] == 4:
        rgba = image if channels == "rgb" else image[..., [2, 1, 0, 3]]
        flat = flatten_alpha(np.ascontiguousarray(rgba))
        if flat is not None:
            return flat
    colours = image[..., 2::-1] if channels == "rgb" else image[..., :3]
    return np.ascontiguousarray(colours)
