"""Distillation losses: peers teach each other (DML), a teacher teaches a student (CML)."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ppocr_jax.losses.db import ShrinkLoss, balanced_loss, dice_loss

EPS = 1e-5  # PaddleOCR's, inside and outside the logarithms of the mutual loss

MapFn = Callable[[Float[Array, "B H W"]], Float[Array, "B H W"]]


def dilate(mask: Float[Array, "B H W"]) -> Float[Array, "B H W"]:
    """Grows a binary map by one pixel to the right and down (2x2 window).

    Gives the same values as `cv2.dilate` with a 2x2 kernel of ones and its default anchor, but on
    the device, so that a teacher's map never leaves the jitted step.

    Args:
        mask: values in {0, 1}.

    Returns:
        Values in {0, 1}.

    Raises:
        ValueError: `mask` is not of rank 3.

    Source: teacher loss of CML, PP-OCRv2 (arXiv:2109.03144).
    """
    if mask.ndim != 3:
        raise ValueError(f"mask should be [B, H, W], got shape {mask.shape}")
    # Two maxima of shifted copies, one per axis. Zeros enter from the top and left edge, so no
    # text appears there.
    down = jnp.maximum(mask, jnp.pad(mask, ((0, 0), (1, 0), (0, 0)))[:, :-1])
    return jnp.maximum(down, jnp.pad(down, ((0, 0), (0, 0), (1, 0)))[:, :, :-1])


def unchanged(shrink_map: Float[Array, "B H W"]) -> Float[Array, "B H W"]:
    """Returns the map itself."""
    return shrink_map


# PaddleOCR offers the next two for its mutual loss. Both were meant for class logits and make
# little sense on probabilities; they are here to reproduce its configs.
def softmax_over_width(shrink_map: Float[Array, "B H W"]) -> Float[Array, "B H W"]:
    """Softmax over each row of pixels: a wide map becomes too flat to teach much."""
    return jax.nn.softmax(shrink_map, axis=-1) + 1e-10


def sigmoid(shrink_map: Float[Array, "B H W"]) -> Float[Array, "B H W"]:
    """Sigmoid, as if the probabilities were logits: values between 0.5 and 0.73."""
    return jax.nn.sigmoid(shrink_map) + 1e-10


def mutual_loss(
    pred: Float[Array, "B H W"], other: Float[Array, "B H W"], act: MapFn = unchanged
) -> Float[Array, "B"]:
    """Symmetric divergence between two shrink maps, per image; gradients flow into both.

    The mean over all pixels of (q ln((q + e) / (p + e) + e) + p ln((p + e) / (q + e) + e)) / 2,
    with e = 1e-5. It compares the probability of text only, not of background, and no mask applies.

    Args:
        pred, other: p and q, values in [0, 1].
        act: a function from `MUTUAL_ACTS`, applied to both maps first.

    Source: deep mutual learning (arXiv:1706.00384), in the form of PP-OCRv2 (arXiv:2109.03144).
    """
    pred, other = act(pred), act(other)
    # The second eps, inside the logarithm, is the reference's; it makes two equal maps differ
    # slightly from 0.
    towards = other * jnp.log((other + EPS) / (pred + EPS) + EPS)
    back = pred * jnp.log((pred + EPS) / (other + EPS) + EPS)
    return (0.5 * (towards + back)).mean((1, 2))


def teacher_loss(
    maps: Mapping[str, Float[Array, "B H W"]],
    teacher_shrink: Float[Array, "B H W"],
    mask: Float[Array, "B H W"],
    *,
    thresh: float = 0.3,
    alpha: float = 5.0,
    shrink_loss: ShrinkLoss = balanced_loss,
) -> Float[Array, ""]:
    """Loss of a student's shrink and binary maps against the text that a teacher sees.

    The teacher's map is binarised at `thresh` (strictly above) and dilated. No gradient reaches the
    teacher, and the student's threshold map is not trained by this loss.

    Args:
        maps: the student's maps; `shrink` and `binary` are read.
        teacher_shrink: the teacher's shrink map, in [0, 1].
        mask: 1 where the teacher teaches; in the published recipe the labels' shrink mask.
        thresh: binarisation threshold of the teacher's map.
        alpha: weight of the shrink loss.
        shrink_loss: see `losses.db.make_shrink_loss`.

    Returns:
        The sum of both losses, with `alpha` applied.
    """
    text = jax.lax.stop_gradient(teacher_shrink) > thresh
    target = dilate(text.astype(teacher_shrink.dtype))
    shrink = shrink_loss(maps["shrink"], target, mask)
    return alpha * shrink + dice_loss(maps["binary"], target, mask)
