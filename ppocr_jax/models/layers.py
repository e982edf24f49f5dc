"""Building blocks of the detectors: convolution, squeeze-excite, up-sampling; batch norm: norm.py.

Maps are `[B, H, W, C]`. Values that frameworks disagree on are written out.

A batch may hold images that fill only the upper left part of a common shape. `Area` then says
how much counts: inputs of convolutions are zeroed outside (as if the image ended there and were
padded) and means run over the inside, so that each image gets the maps it gets alone.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ppocr_jax.kernels import convolution
from ppocr_jax.models.norm import BatchNorm, identity


class Area(NamedTuple):
    """The part of each image that counts.

    Attributes:
        sizes: int32 `[B, 2]`, heights and widths in input pixels, multiples of 32.
        height: pixels, height of the common input shape.
    """

    sizes: jax.Array
    height: int

    def inside(self, x):
        """Bool `[B, H, W, 1]`: which positions of a map belong to its image."""
        stride = self.height // x.shape[1]
        rows = jnp.arange(x.shape[1])[None, :] < self.sizes[:, :1] // stride
        columns = jnp.arange(x.shape[2])[None, :] < self.sizes[:, 1:] // stride
        return (rows[:, :, None] & columns[:, None, :])[..., None]


def blank_outside(x, area):
    """`x` with zeros outside the images; `x` itself when the whole batch counts."""
    return x if area is None else jnp.where(area.inside(x), x, jnp.zeros((), x.dtype))


def mean_inside(x, area):
    """Mean over the pixels of each image, `[B, 1, 1, C]`."""
    if area is None:
        return x.mean((1, 2), keepdims=True)
    inside = area.inside(x)
    count = inside.sum((1, 2), keepdims=True).astype(x.dtype)
    return jnp.where(inside, x, jnp.zeros((), x.dtype)).sum((1, 2), keepdims=True) / count


def hard_sigmoid(x):
    """clip(0.2 x + 0.5, 0, 1): the slope of PP-OCR's gates, not the 1/6 of MobileNetV3's paper."""
    return jnp.clip(0.2 * x + 0.5, 0.0, 1.0)


def hard_swish(x):
    """x clip(x + 3, 0, 6) / 6 (MobileNetV3, arXiv:1905.02244)."""
    return x * jnp.clip(x + 3.0, 0.0, 6.0) / 6.0


def upsample(x, factor):
    """Nearest neighbour: every pixel becomes `factor` x `factor` equal ones."""
    batch, height, width, channels = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None], (batch, height, factor, width, factor, channels))
    return x.reshape(batch, height * factor, width * factor, channels)


def _draw(key, shape, dtype, sample):
    """`sample(rng)` with NumPy's generator for a key: nothing to compile, alike everywhere."""

    def draw(words):
        return sample(np.random.default_rng(np.asarray(words).tolist())).astype(dtype)

    return jax.pure_callback(draw, jax.ShapeDtypeStruct(shape, dtype), jax.random.key_data(key))


def symmetric_uniform(bound):
    """Initialiser: uniform in +-`bound`."""

    def init(key, shape, dtype=jnp.float32):
        return _draw(key, shape, dtype, lambda rng: rng.uniform(-bound, bound, shape))

    return init


def fan_in_normal(key, shape, dtype=jnp.float32, groups=1):
    """Normal with variance 2 / (k k in). `in` counts all channels, of a depthwise filter too."""
    size, width, channels, _ = shape
    std = (2.0 / (size * width * channels * groups)) ** 0.5
    return _draw(key, shape, dtype, lambda rng: rng.normal(0.0, std, shape))


def kaiming_uniform(key, shape, dtype=jnp.float32):
    """Uniform in +-sqrt(6 / (k k in)) for a kernel `[k, k, in, out]`."""
    size, width, channels, _ = shape
    return symmetric_uniform((6.0 / (size * width * channels)) ** 0.5)(key, shape, dtype)


def kaiming_uniform_transposed(key, shape, dtype=jnp.float32):
    """As `kaiming_uniform` with fan-in 4 x outputs: the original takes the axis it finds second.

    For the last layer (one output) the bound is 1.22: a new shrink map starts near saturation.
    """
    return symmetric_uniform((6.0 / (shape[0] * shape[1] * shape[3])) ** 0.5)(key, shape, dtype)


class Conv(nn.Module):
    """Convolution with symmetric padding `k // 2`: `[B, H, W, C]` to `[B, H / s, W / s, O]`."""

    features: int
    size: int = 1
    stride: int = 1
    groups: int = 1
    use_bias: bool = False
    kernel_init: Callable[..., Any] = fan_in_normal
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, area=None):
        shape = (self.size, self.size, x.shape[-1] // self.groups, self.features)
        init = self.kernel_init
        if self.groups > 1:
            init = functools.partial(fan_in_normal, groups=self.groups)
        kernel = self.param("kernel", init, shape).astype(self.dtype)
        if self.size > 1:
            x = blank_outside(x, area)
        x = convolution.convolve(x, kernel, self.stride, self.groups)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,))
            x = x + bias.astype(self.dtype).reshape(1, 1, 1, -1)
        return x


class TransposedConv(nn.Module):
    """Transposed convolution, kernel 2 and stride 2, with bias: doubles height and width."""

    features: int
    bias_bound: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        shape = (2, 2, x.shape[-1], self.features)
        kernel = self.param("kernel", kaiming_uniform_transposed, shape)
        bias = self.param("bias", symmetric_uniform(self.bias_bound), (self.features,))
        return convolution.transposed_convolve(
            x, kernel.astype(self.dtype), bias.astype(self.dtype)
        )


class ConvBN(nn.Module):
    """Convolution without bias, batch norm, activation."""

    features: int
    size: int = 1
    stride: int = 1
    groups: int = 1
    act: Callable[..., Any] = identity
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train=False, area=None):
        x = Conv(self.features, self.size, self.stride, self.groups, dtype=self.dtype, name="conv")(
            x, area
        )
        return BatchNorm(self.act, dtype=self.dtype, name="bn")(x, train)


def rematerialised(block, remat):
    """The class of a block `(x, train, area)`, or one whose inner maps the backward pass remakes.

    Only the block's input is then kept for it: less memory, about a third more arithmetic.
    """
    return nn.remat(block, static_argnums=(2,)) if remat else block


class SqueezeExcite(nn.Module):
    """Scales channels by a gate made from their means (arXiv:1709.01507); PP-OCR's slope 0.2."""

    reduction: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, area=None):
        channels = x.shape[-1]
        gate = mean_inside(x, area)
        gate = Conv(channels // self.reduction, use_bias=True, dtype=self.dtype, name="conv1")(gate)
        gate = Conv(channels, use_bias=True, dtype=self.dtype, name="conv2")(nn.relu(gate))
        return x * hard_sigmoid(gate)
