"""The detectors' convolutions, each in the implementation that is fastest on its platform.

CPUs use `cpu_convolution` and GPUs use `gpu_convolution`. Kinds of convolution that these do not
implement, and all other platforms, use XLA's own.

All functions take `x` `[B, H, W, C]` and a kernel `[kh, kw, in, out]`, cross-correlate, and pad
`k // 2` zeros on every side. For stride 2 and even sizes this differs from XLA's "SAME", which
would pad less on the left and at the top.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jax
from jaxtyping import Array, Float

from ppocr_jax.kernels import cpu_convolution, gpu_convolution
from ppocr_jax.kernels.cpu_convolution import library_convolve, pointwise
from ppocr_jax.runtime.platform import platform

# {platform: {kind: implementation}}. "pointwise" and "wide" are called with `(x, kernel)`,
# "depthwise" and "dense" with `(x, kernel, stride)`.
FORMS: dict[str, dict[str, Callable[..., Any]]] = {
    "cpu": dict(
        pointwise=cpu_convolution.pointwise,
        depthwise=cpu_convolution.depthwise,
        wide=cpu_convolution.wide_kernel,
        dense=cpu_convolution.dense,
    ),
    "gpu": dict(pointwise=gpu_convolution.product, depthwise=gpu_convolution.shifted_sums),
}
# A user context is part of JAX's cache key, so functions traced under `forms` are traced anew.
_others = jax.make_user_context(default_value=())


def forms(**others: Callable[..., Any] | None) -> AbstractContextManager[Any]:
    """A context that replaces implementations while functions are traced, for comparisons.

    Args:
        others: implementation by kind, as in FORMS; None for XLA's own.
    """
    return _others(tuple(sorted(others.items())))


def convolve(
    x: Float[Array, "B H W C"], kernel: Float[Array, "k k I O"], stride: int = 1, groups: int = 1
) -> Float[Array, "B h w O"]:
    """Convolution with symmetric zero padding `k // 2`.

    Args:
        x: input map.
        kernel: I = C / groups; k is odd; same dtype as `x`.
        stride: 1 or 2, for both axes.
        groups: 1, or C for a depthwise convolution (then O = C).

    Returns:
        h = ceil(H / stride), w = ceil(W / stride).

    Raises:
        ValueError: ranks or channels do not match, or the kernel is not square and odd.
    """
    size, width, narrow, _ = kernel.shape
    if x.ndim != 4 or size != width or size % 2 == 0 or narrow * groups != x.shape[-1]:
        raise ValueError(f"kernel {kernel.shape} with {groups} groups does not fit {x.shape}")
    kind = _kind(x.shape, size, stride, groups)
    form = {**FORMS.get(platform(), {}), **dict(_others.value)}.get(kind)
    if form is None:
        return library_convolve(x, kernel, stride, groups)
    return form(x, kernel, stride) if kind in ("depthwise", "dense") else form(x, kernel)


def _kind(shape: tuple[int, ...], size: int, stride: int, groups: int) -> str:
    """Which entry of FORMS a convolution uses."""
    if groups > 1:
        return "depthwise"
    if size == 1 and stride == 1:
        return "pointwise"
    # An export with open sizes has symbolic sides, which cannot be compared: they are "dense".
    sides = [side for side in shape[1:3] if isinstance(side, int)]
    return "wide" if stride == 1 and any(side < size for side in sides) else "dense"


def transposed_convolve(
    x: Float[Array, "B H W C"], kernel: Float[Array, "2 2 C O"], bias: Float[Array, "O"]
) -> Float[Array, "B 2*H 2*W O"]:
    """Transposed convolution with kernel 2 and stride 2: a matrix product and a reshape.

    `out[2y + i, 2x + j] = x[y, x] @ kernel[i, j] + bias`. PaddlePaddle computes the same from its
    `[in, out, 2, 2]` weight. The windows do not overlap, so nothing has to be summed.
    """
    batch, height, width, _ = x.shape
    num_out = kernel.shape[-1]
    out = quarters(x, kernel).reshape(batch, height, width, 2, 2, num_out)
    out = out.transpose(0, 1, 3, 2, 4, 5).reshape(batch, 2 * height, 2 * width, num_out)
    return out + bias.reshape(1, 1, 1, -1)


def quarters(
    x: Float[Array, "B H W C"], kernel: Float[Array, "2 2 C O"]
) -> Float[Array, "B H 4*W O"]:
    """A transposed convolution without bias whose output pixels are not yet in their places.

    The four pixels that come from one input pixel lie side by side, in the order of the kernel's
    positions. Layers that treat all pixels alike, such as batch norm, work on this form as it is,
    which saves a transposition of the map.
    """
    batch, height, width, channels = x.shape
    num_out = kernel.shape[-1]
    flat = kernel.transpose(2, 0, 1, 3).reshape(1, 1, channels, 4 * num_out)
    return pointwise(x, flat).reshape(batch, height, 4 * width, num_out)


def in_place(sixteenths: Float[Array, "B H W 4"]) -> Float[Array, "B 4*H W"]:
    """Puts the pixels of a map in their places after two transposed convolutions.

    Args:
        sixteenths: in the form of `quarters`: the second convolution's four outputs for each of
            the first one's four, for every input pixel. W is 4 times the input's width.
    """
    batch, height, width, _ = sixteenths.shape
    # The axes: row and column in the first 2x2 kernel, then row and column in the second.
    parts = sixteenths.reshape(batch, height, width // 4, 2, 2, 2, 2)
    parts = parts.transpose(0, 1, 3, 5, 2, 4, 6)
    return parts.reshape(batch, 4 * height, width)
