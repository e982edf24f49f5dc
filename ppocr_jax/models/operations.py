"""Operations without parameters, as networks use them: on arrays, and recorded on layers.

Maps are `[B, H, W, C]`. Values that frameworks disagree on are written out.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from ppocr_jax.kernels import max_pool as pooling
from ppocr_jax.models import area
from ppocr_jax.models.graph import operation
from ppocr_jax.runtime.platform import platform


def identity(x):
    return x


@operation("relu")
def relu(x):
    return nn.relu(x)


@operation("relu")
def relu_kept(x):
    """The same of a map whose result is kept and which is not: the gradient looks at the result."""
    return _relu_by_result(x) if platform() == "gpu" else nn.relu(x)


@jax.custom_vjp
def _relu_by_result(x):
    return jnp.maximum(x, 0)


def _relu_forward(x):
    y = _relu_by_result(x)
    # The compiler would take `max(x, 0) > 0` for `x > 0`, and make `x` again to look at it.
    return y, jax.lax.optimization_barrier(y)


def _relu_backward(y, grad):
    return (jnp.where(y > 0, grad, jnp.zeros((), grad.dtype)),)


_relu_by_result.defvjp(_relu_forward, _relu_backward)


@operation("gate")
def hard_sigmoid(x):
    """clip(0.2 x + 0.5, 0, 1): the slope of PP-OCR's gates, not the 1/6 of MobileNetV3's paper."""
    return jnp.clip(0.2 * x + 0.5, 0.0, 1.0)


@operation("hard_swish")
def hard_swish(x):
    """x clip(x + 3, 0, 6) / 6 (MobileNetV3, arXiv:1905.02244)."""
    return x * jnp.clip(x + 3.0, 0.0, 6.0) / 6.0


@operation("sigmoid")
def draw_map(x):
    """Sigmoid of the only channel, float32 at least: `[B, H, W, 1]` to `[B, H, W]`."""
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return jax.nn.sigmoid(x[..., 0])


@operation("binarise")
def binarise(shrink, threshold, *, k):
    """1 / (1 + exp(-k (P - T))), differentiable binarization (DB, arXiv:1911.08947)."""
    return jax.nn.sigmoid(k * (shrink - threshold))


@operation("upsample")
def upsample(x, *, factor):
    """Nearest neighbour: every pixel becomes `factor` x `factor` equal ones."""
    batch, height, width, channels = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None], (batch, height, factor, width, factor, channels))
    return x.reshape(batch, height * factor, width * factor, channels)


@operation("concat")
def concat(maps):
    """A list of maps as one, channel after channel."""
    return jnp.concatenate(maps, axis=-1)


@operation("mean")
def mean(x):
    """Mean over the pixels of each image, `[B, 1, 1, C]`."""
    return area.mean_inside(x)


@operation("max_pool")
def max_pool(x):
    """Maximum of each 3x3 window, stride 2, one pixel of padding."""
    x = area.blank_outside(x)
    if platform() == "gpu":
        return pooling.max_pool(x)
    return nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))


@operation("mean_pool")
def mean_pool(x):
    """Mean of each 2x2 window, stride 2."""
    return nn.avg_pool(x, (2, 2), (2, 2))
