"""Convolutions that are fast on CPUs, with hand-written gradients.

XLA's CPU backend expands a grouped convolution into a dense one, and is slow at the filter gradient
of convolutions with few channels. So this file writes out the output, the input gradient and the
filter gradient itself: a depthwise convolution as shifted multiply-adds, a 1x1 convolution as a
matrix product, and the filter gradient of a dense convolution as one matrix product per filter row.

Shapes and padding are those of `convolution`.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def library_convolve(
    x: Float[Array, "B H W C"], kernel: Float[Array, "k k I O"], stride: int = 1, groups: int = 1
) -> Float[Array, "B h w O"]:
    """XLA's own convolution with the same arguments and results as `convolution.convolve`."""
    pad = kernel.shape[0] // 2
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        ((pad, pad), (pad, pad)),
        dimension_numbers=DIMENSIONS,
        feature_group_count=groups,
    )


def _matmul(a: Float[Array, "M K"], b: Float[Array, "K N"]) -> Float[Array, "M N"]:
    """Matrix product in full precision, unless a caller has set one, see `models.precision`."""
    chosen = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    return jnp.matmul(a, b, precision=None if chosen else lax.Precision.HIGHEST)


def _together(grad_x: Array, grad_kernel: Array) -> Any:
    """Makes XLA compute both gradients at the same time.

    Nothing needs the filter gradient before the end of the backward pass. If XLA put it off until
    then, the maps it is made from would stay in memory; this matters to programs compiled to use
    little memory, see `runtime.compiler`.
    """
    return lax.optimization_barrier((grad_x, grad_kernel))


# -- 1x1 convolutions --


@jax.custom_vjp
def pointwise(
    x: Float[Array, "B H W C"], kernel: Float[Array, "1 1 C O"]
) -> Float[Array, "B H W O"]:
    """A 1x1 convolution as one matrix product over all pixels."""
    rows = _matmul(x.reshape(-1, x.shape[-1]), kernel[0, 0])
    return rows.reshape(*x.shape[:-1], kernel.shape[-1])


def _pointwise_forward(x, kernel):
    return pointwise(x, kernel), (x, kernel)


def _pointwise_backward(saved, grad):
    x, kernel = saved
    grad_rows = grad.reshape(-1, grad.shape[-1])
    grad_x = _matmul(grad_rows, kernel[0, 0].T).reshape(x.shape)
    grad_kernel = _matmul(x.reshape(-1, x.shape[-1]).T, grad_rows)
    return _together(grad_x, grad_kernel.reshape(kernel.shape))


pointwise.defvjp(_pointwise_forward, _pointwise_backward)


# -- Kernels wider than the map --


@jax.custom_vjp
def wide_kernel(
    x: Float[Array, "B H W C"], kernel: Float[Array, "k k C O"]
) -> Float[Array, "B H W O"]:
    """A k x k convolution of a map narrower than k, where XLA's own is a hundred times as slow."""
    rows = _matmul(_patches(x, kernel.shape[0]), kernel.reshape(-1, kernel.shape[-1]))
    return rows.reshape(*x.shape[:-1], kernel.shape[-1])


def _wide_kernel_forward(x, kernel):
    return wide_kernel(x, kernel), (x, kernel)


def _wide_kernel_backward(saved, grad):
    x, kernel = saved
    # The input gradient of a convolution is a convolution with the flipped, transposed kernel.
    grad_x = wide_kernel(grad, kernel[::-1, ::-1].transpose(0, 1, 3, 2))
    grad_rows = grad.reshape(-1, grad.shape[-1])
    return grad_x, _matmul(_patches(x, kernel.shape[0]).T, grad_rows).reshape(kernel.shape)


wide_kernel.defvjp(_wide_kernel_forward, _wide_kernel_backward)


def _patches(x: Float[Array, "B H W C"], size: int) -> Float[Array, "B*H*W size*size*C"]:
    """The `size` x `size` window around every pixel, flattened (im2col)."""
    pad = size // 2
    _, height, width, _ = x.shape
    x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    # Columns first, then rows: 2 * size slices in place of size * size.
    x = jnp.concatenate([x[:, :, j : j + width] for j in range(size)], axis=-1)
    x = jnp.concatenate([x[:, i : i + height] for i in range(size)], axis=-1)
    return x.reshape(-1, x.shape[-1])


# -- Dense convolutions: XLA's forward pass and input gradient, our filter gradient --


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def dense(
    x: Float[Array, "B H W C"], kernel: Float[Array, "k k C O"], stride: int
) -> Float[Array, "B h w O"]:
    """A k x k convolution over all channels, with a hand-written filter gradient."""
    return library_convolve(x, kernel, stride)


def _dense_forward(x, kernel, stride):
    return dense(x, kernel, stride), (x, kernel)


def _dense_backward(stride, saved, grad):
    x, kernel = saved
    _, pull = jax.vjp(lambda x: library_convolve(x, kernel, stride), x)
    return _together(pull(grad)[0], _filter_gradient(x, grad, kernel.shape, stride))


dense.defvjp(_dense_forward, _dense_backward)


def _filter_gradient(
    x: Float[Array, "B H W C"], grad: Float[Array, "B h w O"], shape: tuple[int, ...], stride: int
) -> Float[Array, "k k C O"]:
    """Filter gradient of a dense convolution, one matrix product per row of the filter.

    Whichever of input and gradient has fewer channels is copied once per filter column, shifted, so
    that a filter row is one product `[k * narrow, pixels] @ [pixels, wide]`. With a stride it is
    always the input that is copied.
    """
    size, _, num_in, num_out = shape
    pad = size // 2
    _, height, width, _ = grad.shape
    # Copying the gradient instead gives the filter upside down and transposed; undone at the end.
    flip = stride == 1 and num_out < num_in
    narrow, wide = (grad, x) if flip else (x, grad)
    narrow = jnp.pad(narrow, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    tall, span = stride * (height - 1) + 1, stride * (width - 1) + 1
    shifts = [narrow[:, :, j : j + span : stride] for j in range(size)]
    copies = jnp.concatenate(shifts, axis=-1)
    wide = wide.reshape(-1, wide.shape[-1])
    products: list[Array] = []
    for i in range(size):
        row = copies[:, i : i + tall : stride].reshape(len(wide), -1)
        # A false dependency on the row before: otherwise XLA would have the copies for all rows
        # in memory at once, which is too much for 9x9 filters.
        if products and size > 3:
            row = row + 0 * products[-1][0, 0]
        products.append(_matmul(row.T, wide))
    total = jnp.stack(products)
    total = total.reshape(size, size, -1, wide.shape[-1])
    return total[::-1, ::-1].transpose(0, 1, 3, 2) if flip else total


# -- Depthwise convolutions --


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def depthwise(
    x: Float[Array, "B H W C"], kernel: Float[Array, "k k 1 C"], stride: int
) -> Float[Array, "B h w C"]:
    """A depthwise convolution as a sum of shifted multiply-adds, one per filter tap."""
    size = kernel.shape[0]
    pad = size // 2
    padded = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    height, width = -(-x.shape[1] // stride), -(-x.shape[2] // stride)
    terms = [
        _shifted(padded, i, j, height, width, stride) * _tap(kernel, i, j)
        for i in range(size)
        for j in range(size)
    ]
    return functools.reduce(jnp.add, terms)


def _tap(kernel: Float[Array, "k k 1 C"], i: int, j: int) -> Float[Array, "1 1 1 C"]:
    return kernel[i, j].reshape(1, 1, 1, -1)


def _shifted(padded: Array, i: int, j: int, height: int, width: int, stride: int) -> Array:
    """The input pixels that tap (i, j) is multiplied with, one for each output pixel."""
    rows = slice(i, i + stride * (height - 1) + 1, stride)
    return padded[:, rows, j : j + stride * (width - 1) + 1 : stride]


def _depthwise_forward(x, kernel, stride):
    return depthwise(x, kernel, stride), (x, kernel)


def _depthwise_backward(stride, saved, grad):
    x, kernel = saved
    if stride == 1:
        grad_x = depthwise(grad, kernel[::-1, ::-1], 1)
    else:
        grad_x = _spread(grad, kernel, stride, x.shape)
    return grad_x, _depthwise_filter_gradient(x, grad, kernel.shape, stride)


depthwise.defvjp(_depthwise_forward, _depthwise_backward)


def _spread(
    grad: Float[Array, "B h w C"], kernel: Float[Array, "k k 1 C"], stride: int, shape: tuple
) -> Float[Array, "B H W C"]:
    """Input gradient of a strided depthwise convolution.

    Input pixels whose row and column leave the same remainders modulo the stride (a phase) meet
    the same taps. Each phase is a stride-1 sum, and the phases are interleaved at the end: no
    multiplication by the zeros that an upsampled gradient would contain.
    """
    size, pad = kernel.shape[0], kernel.shape[0] // 2
    _, height, width, channels = shape
    rows, columns = -(-height // stride), -(-width // stride)
    edge = size // stride + 1
    padded = jnp.pad(grad, ((0, 0), (edge, edge), (edge, edge), (0, 0)))

    def phase(a, b):
        """Gradient of the input pixels (stride * y + a, stride * x + b)."""
        total = jnp.zeros((shape[0], rows, columns, channels), grad.dtype)
        for i in range(size):
            for j in range(size):
                # Output pixel (y', x') meets input pixel stride * (y', x') + (i, j) - pad.
                if (a + pad - i) % stride == 0 and (b + pad - j) % stride == 0:
                    y, x = edge + (a + pad - i) // stride, edge + (b + pad - j) // stride
                    part = padded[:, y : y + rows, x : x + columns]
                    total = total + part * _tap(kernel, i, j)
        return total

    lines = [jnp.stack([phase(a, b) for b in range(stride)], axis=3) for a in range(stride)]
    whole = jnp.stack(lines, axis=2).reshape(shape[0], rows * stride, columns * stride, channels)
    return whole[:, :height, :width]


def _depthwise_filter_gradient(
    x: Float[Array, "B H W C"], grad: Float[Array, "B h w C"], shape: tuple[int, ...], stride: int
) -> Float[Array, "k k 1 C"]:
    """Filter gradient of a depthwise convolution, as a scan over image rows.

    The accumulators keep images and columns apart, one `[B, w, C]` array per tap, so the loop has
    only elementwise multiply-adds; they are summed over images and columns once, after the loop.
    """
    size = shape[0]
    pad = size // 2
    batch, height, width, channels = grad.shape
    padded = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    span = stride * (width - 1) + 1

    def row(total, y):
        line = lax.dynamic_slice_in_dim(grad, y, 1, axis=1)[:, 0]
        window = lax.dynamic_slice_in_dim(padded, y * stride, size, axis=1)
        taps = [window[:, i, j : j + span : stride] for i in range(size) for j in range(size)]
        return tuple(t + tap * line for t, tap in zip(total, taps, strict=True)), None

    total = tuple(jnp.zeros((batch, width, channels), x.dtype) for _ in range(size * size))
    total, _ = lax.scan(row, total, jnp.arange(height))
    return jnp.stack([t.sum((0, 1)) for t in total]).reshape(shape)
