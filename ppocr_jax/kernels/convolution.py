"""Convolutions of the detectors, each in the form that its platform runs fastest.

On CPU those are the forms of `cpu_convolution`, on GPU those of `gpu_convolution`; what has none
there, and everything elsewhere, is XLA's own convolution.

All functions take `x` `[B, H, W, C]` and a kernel `[kh, kw, in, out]`, cross-correlate, and pad
`k // 2` zeros on every side: for stride 2 on even sizes that is not XLA's "SAME".
"""

import jax

from ppocr_jax.kernels import cpu_convolution, gpu_convolution
from ppocr_jax.kernels.cpu_convolution import library_convolve, pointwise
from ppocr_jax.runtime.platform import platform

FORMS = {  # by platform; a form takes `(x, kernel)`, and the stride where it may be 2
    "cpu": dict(
        pointwise=cpu_convolution.pointwise,
        depthwise=cpu_convolution.depthwise,
        wide=cpu_convolution.wide_kernel,
        dense=cpu_convolution.dense,
    ),
    "gpu": dict(pointwise=gpu_convolution.product, depthwise=gpu_convolution.shifted_sums),
}
_others = jax.make_user_context(default_value=())  # part of the key of every traced function


def forms(**others):
    """A context in which functions are traced with other forms, to be compared.

    Args:
        others: form by kind, as in FORMS; None for XLA's own.
    """
    return _others(tuple(sorted(others.items())))


def convolve(x, kernel, stride=1, groups=1):
    """Convolution with symmetric zero padding `k // 2`.

    Args:
        x: `[B, H, W, C]`, floating.
        kernel: `[k, k, C / groups, O]`, k odd, dtype of `x`.
        stride: 1 or 2, both axes.
        groups: 1, or C for a depthwise convolution (then O = C).

    Returns:
        `[B, ceil(H / stride), ceil(W / stride), O]`.

    Raises:
        ValueError: ranks or channels do not fit, or the kernel is not square and odd.
    """
    size, width, narrow, _ = kernel.shape
    if x.ndim != 4 or size != width or size % 2 == 0 or narrow * groups != x.shape[-1]:
        raise ValueError(f"kernel {kernel.shape} with {groups} groups does not fit {x.shape}")
    kind = _kind(x.shape, size, stride, groups)
    form = {**FORMS.get(platform(), {}), **dict(_others.value)}.get(kind)
    if form is None:
        return library_convolve(x, kernel, stride, groups)
    return form(x, kernel, stride) if kind in ("depthwise", "dense") else form(x, kernel)


def _kind(shape, size, stride, groups):
    if groups > 1:
        return "depthwise"
    if size == 1 and stride == 1:
        return "pointwise"
    sides = [side for side in shape[1:3] if isinstance(side, int)]  # an export leaves them open
    return "wide" if stride == 1 and any(side < size for side in sides) else "dense"


def transposed_convolve(x, kernel, bias):
    """Transposed convolution with kernel 2 and stride 2: a matrix product and a reshape.

    `out[2y + i, 2x + j] = x[y, x] @ kernel[i, j] + bias`, which is also what PaddlePaddle
    computes from its `[in, out, 2, 2]` weight.

    Args:
        x: `[B, H, W, C]`.
        kernel: `[2, 2, C, O]`.
        bias: `[O]`.

    Returns:
        `[B, 2H, 2W, O]`.
    """
    batch, height, width, channels = x.shape
    num_out = kernel.shape[-1]
    flat = kernel.transpose(2, 0, 1, 3).reshape(1, 1, channels, 4 * num_out)
    out = pointwise(x, flat).reshape(batch, height, width, 2, 2, num_out)
    out = out.transpose(0, 1, 3, 2, 4, 5).reshape(batch, 2 * height, 2 * width, num_out)
    return out + bias.reshape(1, 1, 1, -1)
