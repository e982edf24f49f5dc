"""Pictures that come as NumPy arrays -> what the network sees of a file with the same picture."""

import numpy as np

from ppocr_jax.data.decoding import find_depth, lay_over
from ppocr_jax.data.image_files import MAX_PIXELS

ORDERS = ("bgr", "rgb")
ADVICE = {  # for what is no array, by the package that its type comes from
    "PIL": "numpy.asarray(image.convert('RGB')) with channels='rgb', or the path of its file",
    "torch": "image.cpu().numpy(), as uint8 and with its channels last",
    "jaxlib": "numpy.asarray(image)",
    "builtins": "cv2.imdecode(numpy.frombuffer(data, 'uint8'), 1) if it is a file's content",
}


def require_array(image):
    """Refuses what `as_bgr` does not take.

    Raises:
        TypeError: no array, or samples of another type.
        ValueError: another shape, or a size that no picture has.
    """
    if not isinstance(image, np.ndarray):
        kind = type(image)
        advice = ADVICE.get(kind.__module__.partition(".")[0])
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
        raise ValueError(f"of shape {image.shape} is several pictures: give list(images)")
    if image.ndim not in (2, 3) or image.ndim == 3 and image.shape[2] not in (1, 3, 4):
        raise ValueError(
            f"should be [height, width], or that with 1, 3 or 4 channels, but has shape "
            f"{image.shape}"
        )
    height, width = image.shape[:2]
    if not height * width:
        raise ValueError(f"is empty: {width}x{height} pixels")
    if height * width > MAX_PIXELS:
        raise ValueError(f"has {width}x{height} pixels, which are too many")


def as_bgr(image, channels="bgr"):
    """An array as uint8 `[H, W, 3]` BGR; the same pixels where it is that. It is not changed.

    Args:
        image: uint8 or uint16; `[H, W]` or `[H, W, 1]` grey, `[H, W, 3]` or `[H, W, 4]`, the
            fourth channel for what is opaque: what is not is laid over white, or over black when
            the rest is light. Samples of 16 bits are read as in files: of which only 10, 12 or 14
            are in use, from those. Any strides.
        channels: the order of the colours, of `ORDERS`.

    Raises:
        TypeError, ValueError: see `require_array`.
    """
    require_array(image)
    image = np.asarray(image)
    if image.dtype.itemsize == 2:
        image = image.astype(np.uint16)[..., :3] if image.ndim == 3 else image.astype(np.uint16)
        image = np.right_shift(image, find_depth(image) - 8).astype(np.uint8)
    if image.ndim == 2 or image.shape[2] == 1:
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    if image.shape[2] == 4:
        rgba = image if channels == "rgb" else image[..., [2, 1, 0, 3]]
        laid = lay_over(np.ascontiguousarray(rgba))
        if laid is not None:
            return laid
    colours = image[..., 2::-1] if channels == "rgb" else image[..., :3]
    return np.ascontiguousarray(colours)
