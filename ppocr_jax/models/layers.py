"""Building blocks of the detectors: convolution, batch norm, squeeze-excite.

Feature maps are `[B, H, W, C]`. A module that is given a `graph.Layer` instead of a map records
itself and computes nothing; during initialisation it still creates its parameters.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ppocr_jax.kernels import convolution
from ppocr_jax.kernels.batch_norm import normalise_batch, normalise_stored
from ppocr_jax.kernels.norm_sums import normalise_and_sum, stored_and_sum
from ppocr_jax.models import initial
from ppocr_jax.models.area import blank_outside
from ppocr_jax.models.graph import Layer
from ppocr_jax.models.operations import hard_sigmoid, identity, mean, relu
from ppocr_jax.runtime.platform import platform

MOMENTUM = 0.9  # the weight of the old statistics: PaddlePaddle's convention, PyTorch's is 1 - this


class Conv(nn.Module):
    """Convolution with symmetric zero padding `size // 2`.

    Attributes:
        features: output channels.
        size: side of the square kernel, odd.
        stride: 1 or 2.
        groups: 1, or the number of input channels for a depthwise convolution.
        dtype: the kernel is cast to it; parameters themselves are float32.
    """

    features: int
    size: int = 1
    stride: int = 1
    groups: int = 1
    use_bias: bool = False
    kernel_init: Callable[..., Any] = initial.fan_in_normal
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w O"]:
        """Convolves a map: h = ceil(H / stride), w = ceil(W / stride)."""
        recorded = isinstance(x, Layer)
        if recorded and not self.is_initializing():
            return self._record(x)
        shape = (self.size, self.size, x.shape[-1] // self.groups, self.features)
        # A depthwise filter sees one channel, but its fan-in counts them all.
        init = self.kernel_init
        if self.groups > 1:
            init = functools.partial(initial.fan_in_normal, groups=self.groups)
        kernel = self.param("kernel", init, shape)
        bias = None
        if self.use_bias:
            bias = self.param("bias", initial.constant(0.0), (self.features,))
        if recorded:
            return self._record(x)
        if self.size > 1:  # a 1x1 kernel sees nothing outside the image
            x = blank_outside(x)
        x = convolution.convolve(x, kernel.astype(self.dtype), self.stride, self.groups)
        return x if bias is None else x + bias.astype(self.dtype).reshape(1, 1, 1, -1)

    def kernel(self) -> Float[Array, "k k I O"]:
        """The initialised module's kernel, cast to `dtype`."""
        return self.get_variable("params", "kernel").astype(self.dtype)

    def _record(self, x):
        options = dict(size=self.size, stride=self.stride, depthwise=self.groups > 1)
        batch, *sides, _ = x.shape
        shape = (batch, *(-(-side // self.stride) for side in sides), self.features)
        return Layer("conv", (x,), "", {**options, "bias": self.use_bias}, self.path, shape)


class TransposedConv(nn.Module):
    """Transposed convolution with kernel 2, stride 2 and a bias: doubles height and width.

    Attributes:
        features: output channels.
        bias_bound: new biases are uniform in +-`bias_bound`.
        dtype: kernel and bias are cast to it.
    """

    features: int
    bias_bound: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B 2*H 2*W O"]:
        """Doubles the map."""
        recorded = isinstance(x, Layer)
        if recorded and not self.is_initializing():
            return self._record(x)
        shape = (2, 2, x.shape[-1], self.features)
        kernel: Any = self.param("kernel", initial.kaiming_uniform_transposed, shape)
        bias = self.param("bias", initial.symmetric_uniform(self.bias_bound), (self.features,))
        if recorded:
            return self._record(x)
        return convolution.transposed_convolve(
            x, kernel.astype(self.dtype), bias.astype(self.dtype)
        )

    def weights(self) -> tuple[Float[Array, "2 2 C O"], Float[Array, "O"]]:
        """The initialised module's kernel and bias, cast to `dtype`."""
        kernel: Any = self.get_variable("params", "kernel")
        return kernel.astype(self.dtype), self.get_variable("params", "bias").astype(self.dtype)

    def _record(self, x):
        batch, height, width, _ = x.shape
        shape = (batch, 2 * height, 2 * width, self.features)
        return Layer("deconv", (x,), "", {"bias": True}, self.path, shape)


class BatchNorm(nn.Module):
    """Batch norm over batch, height and width, followed by an activation.

    In train mode it normalises with the batch's own mean and biased variance, and moves the stored
    statistics a tenth of the way towards them. Inside a sharded `jit` that is the global batch.
    Statistics, parameters and the arithmetic before `act` are float32 whatever `dtype` is.
    Source: arXiv:1502.03167, constants of PaddlePaddle.

    Attributes:
        act: elementwise; it belongs to this module so that the backward pass need not keep its
            input.
        bias_init: initial value of the biases.
        dtype: dtype of the result, and of the input of `act`.
    """

    act: Callable[..., Any] = identity
    bias_init: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B H W C"],
        train: bool = False,
        offset: Float[Array, "C"] | None = None,
        kernel: Float[Array, "C N"] | None = None,
    ) -> Float[Array, "B H W _"]:
        """Normalises a map, and optionally multiplies it with a small matrix.

        Args:
            x: input map.
            train: whether to use, and store, the statistics of the batch.
            offset: a bias that is still to be added to `x`. In train mode it cancels with the
                batch's mean, so its gradient is exactly 0; adding it beforehand would give it a
                gradient of rounding errors.
            kernel: if given, the result is multiplied with it, to `[B, H, W, N]`.
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
        # The statistics of x + offset are those of x, with the mean moved by the offset.
        if offset is not None:
            mean = mean - offset.astype(mean.dtype)
        if not train:
            if kernel is None:
                return normalise_stored(x, mean, stored_var.value, scale, bias, *last)
            return stored_and_sum(x, mean, stored_var.value, scale, bias, kernel, *last)
        # In train mode the stored mean is only an estimate that makes the variance more accurate.
        if kernel is None:
            y, mean, var = normalise_batch(x, scale, bias, *last, shift=mean)
        else:
            y, mean, var = normalise_and_sum(x, scale, bias, kernel, mean, *last)
        if offset is not None:
            mean = mean + jax.lax.stop_gradient(offset).astype(mean.dtype)
        if not self.is_initializing():
            # The biased variance is stored, as in PaddlePaddle; PyTorch stores the unbiased one.
            stored_mean.value = MOMENTUM * stored_mean.value + (1 - MOMENTUM) * mean
            stored_var.value = MOMENTUM * stored_var.value + (1 - MOMENTUM) * var
        return y

    def _record(self, x):
        return self.act(Layer("norm", (x,), "", {}, self.path, x.shape))


class ConvBN(nn.Module):
    """Convolution without bias, batch norm, activation. For the attributes see `Conv`."""

    features: int
    size: int = 1
    stride: int = 1
    groups: int = 1
    act: Callable[..., Any] = identity
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool = False) -> Float[Array, "B h w O"]:
        """Applies the three; `train` is that of the batch norm."""
        conv = (self.features, self.size, self.stride, self.groups)
        # The names "conv" and "bn" are part of every checkpoint.
        x = Conv(*conv, dtype=self.dtype, name="conv")(x)
        return BatchNorm(self.act, dtype=self.dtype, name="bn")(x, train)


class SqueezeExcite(nn.Module):
    """Squeeze-and-excitation (arXiv:1709.01507): scales channels by a gate made from their means.

    The gate is a hard sigmoid of slope 0.2, see `operations.hard_sigmoid`.

    Attributes:
        reduction: input channels per hidden channel of the gate.
        dtype: dtype of the gate.
    """

    reduction: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "B H W C"] | None, means: Float[Array, "B 1 1 C"] | None = None
    ) -> Float[Array, "B _ _ C"]:
        """Applies the gate to `x`; if `means` are given, returns the gate alone, `[B, 1, 1, C]`."""
        gate = mean(x) if means is None else means
        channels = gate.shape[-1]
        gate = Conv(channels // self.reduction, use_bias=True, dtype=self.dtype, name="conv1")(gate)
        gate = Conv(channels, use_bias=True, dtype=self.dtype, name="conv2")(relu(gate))
        return x * hard_sigmoid(gate) if means is None else hard_sigmoid(gate)


def uses_gpu_form(module: nn.Module, x: Any) -> bool:
    """Whether a module should use the form that saves memory traffic on GPUs.

    Not while the network is recorded or initialised: such a form reads the weights of submodules,
    which must exist already.
    """
    made = not isinstance(x, Layer) and not module.is_initializing()
    return made and platform() == "gpu"


def rematerialised(block: type[nn.Module], remat: bool) -> Any:
    """Wraps the class of a block `(x, train)` in rematerialisation, if `remat` is set.

    The backward pass then keeps only the block's input and recomputes its inner maps: less memory
    for about a third more arithmetic.
    """
    # `train` (argument 2, after the module itself) decides what is traced, so it has to be static.
    return nn.remat(block, static_argnums=(2,)) if remat else block
