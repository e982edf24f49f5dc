"""Building blocks of the detectors: convolution, batch norm, squeeze-excite.

Maps are `[B, H, W, C]`. A layer that is given a `graph.Layer` for a map records itself; while a
network is initialised it makes its parameters all the same.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ppocr_jax.kernels import convolution
from ppocr_jax.kernels.batch_norm import normalise_batch, normalise_stored
from ppocr_jax.kernels.norm_sums import normalise_and_sum, stored_and_sum
from ppocr_jax.models import initial
from ppocr_jax.models.area import blank_outside
from ppocr_jax.models.graph import Layer
from ppocr_jax.models.operations import hard_sigmoid, identity, mean, relu
from ppocr_jax.runtime.platform import platform

MOMENTUM = 0.9  # the share of the old statistics that stays


class Conv(nn.Module):
    """Convolution with symmetric padding `k // 2`: `[B, H, W, C]` to `[B, H / s, W / s, O]`."""

    features: int
    size: int = 1
    stride: int = 1
    groups: int = 1
    use_bias: bool = False
    kernel_init: Callable[..., Any] = initial.fan_in_normal
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        recorded = isinstance(x, Layer)
        if recorded and not self.is_initializing():
            return self._record(x)
        shape = (self.size, self.size, x.shape[-1] // self.groups, self.features)
        init = self.kernel_init
        if self.groups > 1:
            init = functools.partial(initial.fan_in_normal, groups=self.groups)
        kernel = self.param("kernel", init, shape)
        bias = None
        if self.use_bias:
            bias = self.param("bias", initial.constant(0.0), (self.features,))
        if recorded:
            return self._record(x)
        if self.size > 1:
            x = blank_outside(x)
        x = convolution.convolve(x, kernel.astype(self.dtype), self.stride, self.groups)
        return x if bias is None else x + bias.astype(self.dtype).reshape(1, 1, 1, -1)

    def kernel(self):
        """The kernel of a module that has one, in the type of the maps."""
        return self.get_variable("params", "kernel").astype(self.dtype)

    def _record(self, x):
        options = dict(size=self.size, stride=self.stride, depthwise=self.groups > 1)
        batch, *sides, _ = x.shape
        shape = (batch, *(-(-side // self.stride) for side in sides), self.features)
        return Layer("conv", (x,), "", {**options, "bias": self.use_bias}, self.path, shape)


class TransposedConv(nn.Module):
    """Transposed convolution, kernel 2 and stride 2, with bias: doubles height and width."""

    features: int
    bias_bound: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        recorded = isinstance(x, Layer)
        if recorded and not self.is_initializing():
            return self._record(x)
        shape = (2, 2, x.shape[-1], self.features)
        kernel = self.param("kernel", initial.kaiming_uniform_transposed, shape)
        bias = self.param("bias", initial.symmetric_uniform(self.bias_bound), (self.features,))
        if recorded:
            return self._record(x)
        return convolution.transposed_convolve(
            x, kernel.astype(self.dtype), bias.astype(self.dtype)
        )

    def weights(self):
        """`(kernel, bias)` of a module that has them, in the type of the maps."""
        kernel, bias = (self.get_variable("params", name) for name in ("kernel", "bias"))
        return kernel.astype(self.dtype), bias.astype(self.dtype)

    def _record(self, x):
        batch, height, width, _ = x.shape
        shape = (batch, 2 * height, 2 * width, self.features)
        return Layer("deconv", (x,), "", {"bias": True}, self.path, shape)


class BatchNorm(nn.Module):
    """Batch norm over batch, height and width, then `act`: `[B, H, W, C]` to the same.

    In train mode the batch's own mean and biased variance normalise, and the stored ones move a
    tenth of the way towards them. Inside a sharded `jit` the batch is the global one. Statistics
    and parameters are float32 whatever `dtype` is, and so is the arithmetic before `act`.
    Source: arXiv:1502.03167, constants of PaddlePaddle.

    Attributes:
        act: elementwise; part of this module so that its input need not be kept.
        bias_init: constant that new biases start from.
        dtype: of the result, and of what `act` is given.
    """

    act: Callable[..., Any] = identity
    bias_init: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train=False, offset=None, kernel=None):
        """The map, or what a narrow product behind it makes of that.

        Args:
            x: `[B, H, W, C]`.
            train: see above.
            offset: `[C]`, what is still to be added to `x`. The batch's mean takes it away again,
                so that in train mode it has no gradient: exactly none, where an addition before
                has one of rounding alone.
            kernel: `[C, N]`; then the result is `[B, H, W, N]`.
        """
        recorded = isinstance(x, Layer)
        if recorded and not self.is_initializing():
            return self._record(x)
        shape = x.shape[-1:]
        scale = self.param("scale", initial.constant(1.0), shape)
        bias = self.param("bias", initial.constant(self.bias_init), shape)
        stored_mean = self.variable("batch_stats", "mean", initial.constant(0.0), None, shape)
        stored_var = self.variable("batch_stats", "var", initial.constant(1.0), None, shape)
        if recorded:
            return self._record(x)
        mean, last = stored_mean.value, (self.act, self.dtype)
        if offset is not None:
            mean = mean - offset.astype(mean.dtype)
        if not train and kernel is None:
            return normalise_stored(x, mean, stored_var.value, scale, bias, *last)
        if not train:
            return stored_and_sum(x, mean, stored_var.value, scale, bias, kernel, *last)
        if kernel is None:
            y, mean, var = normalise_batch(x, scale, bias, *last, shift=mean)
        else:
            y, mean, var = normalise_and_sum(x, scale, bias, kernel, mean, *last)
        if offset is not None:
            mean = mean + jax.lax.stop_gradient(offset).astype(mean.dtype)
        if not self.is_initializing():
            stored_mean.value = MOMENTUM * stored_mean.value + (1 - MOMENTUM) * mean
            stored_var.value = MOMENTUM * stored_var.value + (1 - MOMENTUM) * var
        return y

    def _record(self, x):
        return self.act(Layer("norm", (x,), "", {}, self.path, x.shape))


class ConvBN(nn.Module):
    """Convolution without bias, batch norm, activation."""

    features: int
    size: int = 1
    stride: int = 1
    groups: int = 1
    act: Callable[..., Any] = identity
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train=False):
        conv = (self.features, self.size, self.stride, self.groups)
        x = Conv(*conv, dtype=self.dtype, name="conv")(x)
        return BatchNorm(self.act, dtype=self.dtype, name="bn")(x, train)


class SqueezeExcite(nn.Module):
    """Scales channels by a gate made from their means (arXiv:1709.01507); PP-OCR's slope 0.2."""

    reduction: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, means=None):
        """The map with its gate; the gate alone, `[B, 1, 1, C]`, of `means` that are known."""
        gate = mean(x) if means is None else means
        channels = gate.shape[-1]
        gate = Conv(channels // self.reduction, use_bias=True, dtype=self.dtype, name="conv1")(gate)
        gate = Conv(channels, use_bias=True, dtype=self.dtype, name="conv2")(relu(gate))
        return x * hard_sigmoid(gate) if means is None else hard_sigmoid(gate)


def moves_least(module, x):
    """Whether a module takes the form that reads and writes least memory: of arrays, on GPUs.

    Such a form reads weights that are there already.
    """
    made = not isinstance(x, Layer) and not module.is_initializing()
    return made and platform() == "gpu"


def rematerialised(block, remat):
    """The class of a block `(x, train)`, or one whose inner maps the backward pass remakes.

    Only the block's input is then kept for it: less memory, about a third more arithmetic.
    """
    return nn.remat(block, static_argnums=(2,)) if remat else block
