"""The networks' operations without parameters.

They compute on arrays, and record themselves if they are given a `graph.Layer` instead. Feature
maps are `[B, H, W, C]`. Values on which frameworks disagree are written out.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ppocr_jax.kernels import max_pool as pooling
from ppocr_jax.models import area
from ppocr_jax.models.graph import operation
from ppocr_jax.runtime.platform import platform


def identity(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Returns its input; the activation of layers that have none."""
    return x


def apart(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Returns its input; on GPUs its gradient is not added to others inside a matrix product.

    XLA lets a product add a map to its result, which costs nothing unless that map would otherwise
    not be stored: the gradient of a mean pooling is four times as large as what it is made from.
    """
    return _apart(x) if platform() == "gpu" and isinstance(x, jax.Array) else x


@jax.custom_vjp
def _apart(x: Array) -> Array:
    return x


_apart.defvjp(lambda x: (_apart(x), None), lambda _, grad: (jax.lax.optimization_barrier(grad),))


@operation("relu")
def relu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """max(x, 0)."""
    return nn.relu(x)


@operation("relu")
def relu_kept(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """ReLU whose gradient reads its result, for places that keep the result but not the input.

    Only GPUs gain from it, since it saves memory traffic.
    """
    return _relu_by_result(x) if platform() == "gpu" else nn.relu(x)


@jax.custom_vjp
def _relu_by_result(x: Array) -> Array:
    return jnp.maximum(x, 0)


def _relu_forward(x):
    y = _relu_by_result(x)
    # Without the barrier XLA would simplify `max(x, 0) > 0` to `x > 0`, and recompute or keep `x`.
    return y, jax.lax.optimization_barrier(y)


def _relu_backward(y, grad):
    return (jnp.where(y > 0, grad, jnp.zeros((), grad.dtype)),)


_relu_by_result.defvjp(_relu_forward, _relu_backward)


@operation("gate")
def hard_sigmoid(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """clip(0.2 x + 0.5, 0, 1): PP-OCR uses slope 0.2, not the 1/6 of MobileNetV3's paper."""
    return jnp.clip(0.2 * x + 0.5, 0.0, 1.0)


@operation("hard_swish")
def hard_swish(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x clip(x + 3, 0, 6) / 6 (MobileNetV3, arXiv:1905.02244)."""
    return x * jnp.clip(x + 3.0, 0.0, 6.0) / 6.0


@operation("sigmoid")
def sigmoid_map(x: Float[Array, "B H W 1"]) -> Float[Array, "B H W"]:
    """Sigmoid of the only channel, in float32 or wider."""
    # bfloat16 has 8 bits: too coarse for thresholds, and for the binary map's steep slope.
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return jax.nn.sigmoid(x[..., 0])


@operation("binarise")
def binarise(
    shrink: Float[Array, "B H W"], threshold: Float[Array, "B H W"], *, k: float
) -> Float[Array, "B H W"]:
    """1 / (1 + exp(-k (P - T))), differentiable binarization (DB, arXiv:1911.08947)."""
    return jax.nn.sigmoid(k * (shrink - threshold))


@operation("upsample")
def upsample(x: Float[Array, "B H W C"], *, factor: int) -> Float[Array, "B h w C"]:
    """Nearest-neighbour upsampling: every pixel becomes `factor` x `factor` equal ones."""
    # A broadcast and a reshape, whose gradient is a plain sum; no gather, no interpolation.
    batch, height, width, channels = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None], (batch, height, factor, width, factor, channels))
    return x.reshape(batch, height * factor, width * factor, channels)


@operation("concat")
def concat(maps: Sequence[Float[Array, "B H W _"]]) -> Float[Array, "B H W C"]:
    """Concatenates the channels of a list of maps."""
    return jnp.concatenate(maps, axis=-1)


@operation("mean")
def mean(x: Float[Array, "B H W C"]) -> Float[Array, "B 1 1 C"]:
    """Mean over the pixels of each image (global average pooling)."""
    return area.mean_inside(x)


@operation("max_pool")
def max_pool(x: Float[Array, "B H W C"]) -> Float[Array, "B h w C"]:
    """3x3 max pooling with stride 2 and one pixel of padding: h = ceil(H / 2), w = ceil(W / 2)."""
    # Zero cannot win against what is inside: a ReLU always comes before.
    x = area.blank_outside(x)
    if platform() == "gpu":
        return pooling.max_pool(x)
    return nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))


@operation("mean_pool")
def mean_pool(x: Float[Array, "B H W C"]) -> Float[Array, "B h w C"]:
    """2x2 mean pooling with stride 2: h = H // 2, w = W // 2."""
    if platform() == "gpu":
        # A reshape and a mean, whose gradient is a plain broadcast.
        batch, height, width, channels = x.shape
        x = x[:, : height // 2 * 2, : width // 2 * 2]
        return x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean((2, 4))
    return nn.avg_pool(x, (2, 2), (2, 2))
