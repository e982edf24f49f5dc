"""Losses between networks: mutual (DML) and from a teacher's dilated map (CML)."""

import jax
import jax.numpy as jnp

from ppocr_jax.losses.db import balanced_loss, dice_loss

EPS = 1e-5


def dilate(mask):
    """Grows a binary map by one pixel to the right and down (2x2 window).

    Same values as `cv2.dilate` with a 2x2 kernel of ones and its default anchor, but on device,
    so that a teacher's map never leaves the jitted step.

    Args:
        mask: `[B, H, W]`, values in {0, 1}.

    Returns:
        `[B, H, W]`, values in {0, 1}.

    Raises:
        ValueError: `mask` is not rank 3.

    Source: teacher loss of CML, PP-OCRv2 (arXiv:2109.03144).
    """
    if mask.ndim != 3:
        raise ValueError(f"mask should be [B, H, W], got shape {mask.shape}")
    down = jnp.maximum(mask, jnp.pad(mask, ((0, 0), (1, 0), (0, 0)))[:, :-1])
    return jnp.maximum(down, jnp.pad(down, ((0, 0), (0, 0), (1, 0)))[:, :, :-1])


def unchanged(shrink_map):
    """The map itself."""
    return shrink_map


def softmax_over_width(shrink_map):
    """Flattens a wide map until next to nothing is left to learn from."""
    return jax.nn.softmax(shrink_map, axis=-1) + 1e-10


def sigmoid(shrink_map):
    """As if the probabilities were logits: values from 0.5 to 0.73."""
    return jax.nn.sigmoid(shrink_map) + 1e-10


def mutual_loss(pred, other, act=unchanged):
    """Symmetric divergence of two shrink maps, per image; gradient flows into both.

    With e = 1e-5, half of q ln((q + e) / (p + e) + e) + p ln((p + e) / (q + e) + e), averaged
    over height and width. Only the probability of text counts, and no mask is applied.

    Args:
        pred, other: `[B, H, W]`, values in [0, 1].
        act: a function of `MUTUAL_ACTS`, applied to both maps first.

    Returns:
        `[B]`.

    Source: deep mutual learning (arXiv:1706.00384), in the form of PP-OCRv2 (arXiv:2109.03144).
    """
    pred, other = act(pred), act(other)
    towards = other * jnp.log((other + EPS) / (pred + EPS) + EPS)
    back = pred * jnp.log((pred + EPS) / (other + EPS) + EPS)
    return (0.5 * (towards + back)).mean((1, 2))


def teacher_loss(maps, teacher_shrink, mask, *, thresh=0.3, alpha=5.0, shrink_loss=balanced_loss):
    """A student's shrink and binary map against the teacher's dilated text.

    The teacher's map is made binary at `thresh` (strictly above) and dilated; it passes no
    gradient. The threshold map is not taught.

    Args:
        maps: the student's, `{"shrink", "binary"}` each `[B, H, W]`.
        teacher_shrink: `[B, H, W]`, in [0, 1].
        mask: 1 where the teacher teaches, `[B, H, W]`: the labels' shrink mask, as published.
        thresh: of the teacher's map.
        alpha: weight of the shrink map.
        shrink_loss: see `losses.db.make_shrink_loss`.

    Returns:
        A scalar, alpha included.
    """
    text = jax.lax.stop_gradient(teacher_shrink) > thresh
    target = dilate(text.astype(teacher_shrink.dtype))
    shrink = shrink_loss(maps["shrink"], target, mask)
    return alpha * shrink + dice_loss(maps["binary"], target, mask)
