"""Convolutions in the forms that are fast on CPU, with their gradients written out.

XLA's CPU backend expands a grouped convolution into a dense one and is slow on the filter
gradient of narrow convolutions. The three products (output, input gradient, filter gradient) are
therefore written here: a depthwise convolution as shifted multiply-adds, a 1x1 as a matrix
product, the filter gradient of a dense convolution as one matrix product per row of the filter.

Shapes and padding are those of `convolution`.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def library_convolve(x, kernel, stride=1, groups=1):
    """The same convolution as one XLA operation: the form of GPU and TPU, and of the tests."""
    pad = kernel.shape[0] // 2
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        ((pad, pad), (pad, pad)),
        dimension_numbers=DIMENSIONS,
        feature_group_count=groups,
    )


def _matmul(a, b):
    """In full, unless a precision was chosen for all that is traced, see `models.precision`."""
    chosen = jax.config.jax_default_matmul_precision
    return jnp.matmul(a, b, precision=None if chosen else lax.Precision.HIGHEST)


def _together(grad_x, grad_kernel):
    """Both gradients, at one time: a filter's can wait for the end, and its maps with it.

    It counts in a program that is compiled for little memory, see `runtime.compiler`.
    """
    return lax.optimization_barrier((grad_x, grad_kernel))


@jax.custom_vjp
def pointwise(x, kernel):
    """A 1x1 convolution as a matrix product over all pixels."""
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


@jax.custom_vjp
def wide_kernel(x, kernel):
    """A k x k convolution of a map narrower than k: XLA's own takes a hundred times as long."""
    rows = _matmul(_patches(x, kernel.shape[0]), kernel.reshape(-1, kernel.shape[-1]))
    return rows.reshape(*x.shape[:-1], kernel.shape[-1])


def _wide_kernel_forward(x, kernel):
    return wide_kernel(x, kernel), (x, kernel)


def _wide_kernel_backward(saved, grad):
    x, kernel = saved
    grad_x = wide_kernel(grad, kernel[::-1, ::-1].transpose(0, 1, 3, 2))
    grad_rows = grad.reshape(-1, grad.shape[-1])
    return grad_x, _matmul(_patches(x, kernel.shape[0]).T, grad_rows).reshape(kernel.shape)


wide_kernel.defvjp(_wide_kernel_forward, _wide_kernel_backward)


def _patches(x, size):
    """What a filter sees at every pixel, `[B * H * W, size * size * C]`."""
    pad = size // 2
    _, height, width, _ = x.shape
    x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    x = jnp.concatenate([x[:, :, j : j + width] for j in range(size)], axis=-1)
    x = jnp.concatenate([x[:, i : i + height] for i in range(size)], axis=-1)
    return x.reshape(-1, x.shape[-1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def dense(x, kernel, stride):
    """A k x k convolution over all channels, with its own filter gradient."""
    return library_convolve(x, kernel, stride)


def _dense_forward(x, kernel, stride):
    return dense(x, kernel, stride), (x, kernel)


def _dense_backward(stride, saved, grad):
    x, kernel = saved
    _, pull = jax.vjp(lambda x: library_convolve(x, kernel, stride), x)
    return _together(pull(grad)[0], _filter_gradient(x, grad, kernel.shape, stride))


dense.defvjp(_dense_forward, _dense_backward)


def _filter_gradient(x, grad, shape, stride):
    """Gradient of a dense filter: one product per row of it.

    The narrower of input and gradient is copied once per column of the filter, so that the whole
    of `[k * narrow, pixels] @ [pixels, wide]` is one product. With a stride the copies are always
    the input's.
    """
    size, _, num_in, num_out = shape
    pad = size // 2
    _, height, width, _ = grad.shape
    flip = stride == 1 and num_out < num_in  # then the copies are the gradient's, seen from x
    narrow, wide = (grad, x) if flip else (x, grad)
    narrow = jnp.pad(narrow, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    tall, span = stride * (height - 1) + 1, stride * (width - 1) + 1
    copies = [narrow[:, :, j : j + span : stride] for j in range(size)]
    copies = jnp.concatenate(copies, axis=-1)
    wide = wide.reshape(-1, wide.shape[-1])
    products = []
    for i in range(size):
        row = copies[:, i : i + tall : stride].reshape(len(wide), -1)
        if products and size > 3:  # wait for the last: all rows would be in memory at once
            row = row + 0 * products[-1][0, 0]
        products.append(_matmul(row.T, wide))
    total = jnp.stack(products)
    total = total.reshape(size, size, -1, wide.shape[-1])
    return total[::-1, ::-1].transpose(0, 1, 3, 2) if flip else total


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def depthwise(x, kernel, stride):
    """A depthwise convolution as a sum of shifted products, kernel `[k, k, 1, C]`."""
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


def _tap(kernel, i, j):
    return kernel[i, j].reshape(1, 1, 1, -1)


def _shifted(padded, i, j, height, width, stride):
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


def _spread(grad, kernel, stride, shape):
    """Input gradient of a strided depthwise convolution, one phase of the input at a time."""
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
                if (a + pad - i) % stride == 0 and (b + pad - j) % stride == 0:
                    y, x = edge + (a + pad - i) // stride, edge + (b + pad - j) // stride
                    part = padded[:, y : y + rows, x : x + columns]
                    total = total + part * _tap(kernel, i, j)
        return total

    lines = [jnp.stack([phase(a, b) for b in range(stride)], axis=3) for a in range(stride)]
    whole = jnp.stack(lines, axis=2).reshape(shape[0], rows * stride, columns * stride, channels)
    return whole[:, :height, :width]


def _depthwise_filter_gradient(x, grad, shape, stride):
    """Filter gradient as a scan over image rows: one accumulator per tap, image and column.

    The loop adds and multiplies only; sums over images and columns come once, after it.
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
