"""The layers in plain NumPy with their gradients: what was done is written down, then undone.

Everything is float64 and `[B, H, W, C]`, and written from the definitions, for reading rather than
for speed. Nothing of ppocr_jax is used. Constants on which frameworks disagree are PaddlePaddle's.
"""

import numpy as np


class Value:
    """An array that knows what it was made of.

    Attributes:
        array: float64.
        grad: of the last number that `backward` was asked of; zeros before.
        sources: `(value, pull)` pairs: a pull turns the gradient of this one into that of a source.
    """

    def __init__(self, array, sources=()):
        self.array = np.asarray(array, np.float64)
        self.grad = np.zeros_like(self.array)
        self.sources = sources

    def __add__(self, other):
        other = constant(other)
        return Value(
            self.array + other.array,
            [(self, lambda g: summed(g, self)), (other, lambda g: summed(g, other))],
        )

    def __mul__(self, other):
        other = constant(other)
        return Value(
            self.array * other.array,
            [
                (self, lambda g: summed(g * other.array, self)),
                (other, lambda g: summed(g * self.array, other)),
            ],
        )

    def __sub__(self, other):
        return self + constant(other) * -1.0

    def __truediv__(self, other):
        other = constant(other)
        inverse = Value(1.0 / other.array, [(other, lambda g: -g / other.array**2)])
        return self * inverse

    def __abs__(self):
        return Value(abs(self.array), [(self, lambda g: g * np.sign(self.array))])

    def sum(self):
        return Value(self.array.sum(), [(self, lambda g: g * np.ones_like(self.array))])


def constant(number):
    """A value of a number or an array; a value as it is."""
    return number if isinstance(number, Value) else Value(number)


def summed(grad, value):
    """A gradient summed over the axes along which a value was repeated to fit another."""
    shape = value.array.shape
    grad = grad.sum(tuple(range(grad.ndim - len(shape))))
    repeated = tuple(i for i, side in enumerate(shape) if side == 1 and grad.shape[i] != 1)
    return grad.sum(repeated, keepdims=True)


def backward(value):
    """Fills `grad` of everything that a scalar value was made of."""
    order, seen = [], set()

    def visit(node):
        if id(node) not in seen:
            seen.add(id(node))
            for source, _ in node.sources:
                visit(source)
            order.append(node)

    visit(value)
    for node in order:
        node.grad = np.zeros_like(node.array)
    value.grad = np.ones_like(value.array)
    for node in reversed(order):
        for source, pull in node.sources:
            source.grad = source.grad + pull(node.grad)


def convolve(x, kernel, stride=1, groups=1):
    """A cross-correlation with zeros of `k // 2` around; kernel `[k, k, I / groups, O]`.

    For every offset of the kernel: the pixels that it meets, times its matrix.
    """
    size, (batch, height, width, _) = kernel.array.shape[0], x.array.shape
    pad = size // 2
    rows, columns = (height - 1) // stride + 1, (width - 1) // stride + 1
    if size % 2 == 0:
        raise ValueError("even kernels have another padding")
    wide = np.pad(x.array, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    parts = np.split(np.arange(kernel.array.shape[3]), groups)
    inputs = np.split(np.arange(x.array.shape[3]), groups)

    def met(i, j):
        return (
            slice(None),
            slice(i, i + stride * (rows - 1) + 1, stride),
            slice(j, j + stride * (columns - 1) + 1, stride),
        )

    out = np.zeros((batch, rows, columns, kernel.array.shape[3]))
    offsets = [(i, j) for i in range(size) for j in range(size)]
    for i, j in offsets:
        for taken, given in zip(inputs, parts, strict=True):
            out[..., given] += wide[met(i, j)][..., taken] @ kernel.array[i, j][:, given]

    def to_x(grad):
        back = np.zeros_like(wide)
        for i, j in offsets:
            for taken, given in zip(inputs, parts, strict=True):
                back[met(i, j)][..., taken] += grad[..., given] @ kernel.array[i, j][:, given].T
        return back[:, pad : pad + height, pad : pad + width]

    def to_kernel(grad):
        back = np.zeros_like(kernel.array)
        for i, j in offsets:
            for taken, given in zip(inputs, parts, strict=True):
                seen = wide[met(i, j)][..., taken].reshape(-1, len(taken))
                back[i, j][:, given] = seen.T @ grad[..., given].reshape(-1, len(given))
        return back

    return Value(out, [(x, to_x), (kernel, to_kernel)])


def transposed_convolve(x, kernel, bias):
    """Kernel `[2, 2, I, O]`, stride 2: every pixel becomes four, each by a matrix of its own."""
    batch, height, width, _ = x.array.shape
    out = np.zeros((batch, 2 * height, 2 * width, kernel.array.shape[3]))
    corners = [(i, j) for i in range(2) for j in range(2)]
    for i, j in corners:
        out[:, i::2, j::2] = x.array @ kernel.array[i, j]

    def to_x(grad):
        return sum(grad[:, i::2, j::2] @ kernel.array[i, j].T for i, j in corners)

    def to_kernel(grad):
        back = np.zeros_like(kernel.array)
        for i, j in corners:
            back[i, j] = np.einsum("bhwi,bhwo->io", x.array, grad[:, i::2, j::2])
        return back

    return Value(out, [(x, to_x), (kernel, to_kernel)]) + bias


def batch_norm(x, scale, bias):
    """By the batch's own mean and biased variance: `(result, mean, variance)`."""
    axes, count = (0, 1, 2), x.array[..., 0].size
    mean, variance = x.array.mean(axes), x.array.var(axes)
    deviation = np.sqrt(variance + 1e-5)
    normal = (x.array - mean) / deviation

    def to_x(grad):
        # The mean and the variance hang on every pixel as well.
        along = (grad * normal).sum(axes) * normal
        return (grad - grad.sum(axes) / count - along / count) / deviation

    return Value(normal, [(x, to_x)]) * scale + bias, mean, variance


def moved(stored, found):
    """Stored statistics after a batch: a tenth of the way to what it had."""
    return 0.9 * stored + 0.1 * found


def batch_norm_stored(x, scale, bias, mean, variance):
    """By stored statistics, in evaluation."""
    return (x - mean) * (1.0 / np.sqrt(variance + 1e-5)) * scale + bias


def relu(x):
    return Value(np.maximum(x.array, 0.0), [(x, lambda g: g * (x.array > 0))])


def hard_swish(x):
    """x clip(x + 3, 0, 6) / 6."""
    a = x.array
    slope = np.where(a <= -3, 0.0, np.where(a >= 3, 1.0, (2 * a + 3) / 6))
    return Value(a * np.clip(a + 3, 0, 6) / 6, [(x, lambda g: g * slope)])


def hard_sigmoid(x):
    """clip(0.2 x + 0.5, 0, 1): PaddlePaddle's slope."""
    inside = abs(x.array) < 2.5
    return Value(np.clip(0.2 * x.array + 0.5, 0, 1), [(x, lambda g: g * 0.2 * inside)])


def sigmoid(x):
    y = 1.0 / (1.0 + np.exp(-x.array))
    return Value(y, [(x, lambda g: g * y * (1 - y))])


def mean_of_pixels(x):
    """`[B, 1, 1, C]`."""
    size = x.array.shape[1] * x.array.shape[2]
    mean = x.array.mean((1, 2), keepdims=True)
    return Value(mean, [(x, lambda g: np.broadcast_to(g / size, x.array.shape))])


def upsample(x, factor):
    """Every pixel as a square of equal ones."""
    batch, height, width, channels = x.array.shape
    grown = x.array.repeat(factor, 1).repeat(factor, 2)

    def to_x(grad):
        return grad.reshape(batch, height, factor, width, factor, channels).sum((2, 4))

    return Value(grown, [(x, to_x)])


def concat(values):
    """Channel after channel."""
    ends = np.cumsum([0, *(value.array.shape[-1] for value in values)])
    spans = [slice(a, b) for a, b in zip(ends, ends[1:], strict=False)]
    sources = [
        (value, lambda g, span=span: g[..., span])
        for value, span in zip(values, spans, strict=True)
    ]
    return Value(np.concatenate([value.array for value in values], -1), sources)


def squeeze_excite(x, kernel1, bias1, kernel2, bias2):
    """The map times a gate made from its means."""
    gate = relu(convolve(mean_of_pixels(x), kernel1) + bias1)
    return x * hard_sigmoid(convolve(gate, kernel2) + bias2)


def only_channel(x):
    """`[B, H, W, 1]` as `[B, H, W]`."""
    return Value(x.array[..., 0], [(x, lambda g: g[..., None])])
