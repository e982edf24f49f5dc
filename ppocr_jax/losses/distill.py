"""Losses between networks: mutual (DML) and from a teacher's dilated map (CML)."""

import jax
import jax.numpy as jnp

from ppocr_jax.losses.db import dice_loss, shrink_loss

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


def mutual_loss(pred, other, act="none"):
    """Symmetric divergence of two shrink maps, per image; gradient flows into both.

    With e = 1e-5, half of q ln((q + e) / (p + e) + e) + p ln((p + e) / (q + e) + e), averaged
    over height and width. Only the probability of text counts, and no mask is applied.

    Args:
        pred, other: `[B, H, W]`, values in [0, 1].
        act: "none"; "softmax" over the width or "sigmoid" are applied to the maps first (the
            softmax flattens a wide map until next to nothing is left to learn from).

    Returns:
        `[B]`.

    Raises:
        ValueError: an unknown `act`.

    Source: deep mutual learning (arXiv:1706.00384), in the form of PP-OCRv2 (arXiv:2109.03144).
    """
    if act not in ("none", "softmax", "sigmoid"):
        raise ValueError(f"act should be none, softmax or sigmoid, got {act!r}")
    if act == "softmax":
        pred, other = (jax.nn.softmax(x, axis=-1) + 1e-10 for x in (pred, other))
    elif act == "sigmoid":
        pred, other = (jax.nn.sigmoid(x) + 1e-10 for x in (pred, other))
    towards = other * jnp.log((other + EPS) / (pred + EPS) + EPS)
    back = pred * jnp.log((pred + EPS) / (other + EPS) + EPS)
    return (0.5 * (towards + back)).mean((1, 2))


def teacher_loss(maps, teacher_shrink, mask, *, thresh=0.3, alpha=5.0, main="dice",
                 balance=True, negative_ratio=3.0):  # fmt: skip
    """A student's shrink and binary map against the teacher's dilated text.

    The teacher's map is made binary at `thresh` (strictly above) and dilated; it passes no
    gradient. The labels' shrink mask applies, the threshold map is not taught.

    Args:
        maps: the student's, `{"shrink", "binary"}` each `[B, H, W]`.
        teacher_shrink: `[B, H, W]`, in [0, 1].
        mask: the labels' shrink mask, `[B, H, W]`.

    Returns:
        A scalar, alpha included.
    """
    text = jax.lax.stop_gradient(teacher_shrink) > thresh
    target = dilate(text.astype(teacher_shrink.dtype))
    shrink = shrink_loss(maps["shrink"], target, mask, main, balance, negative_ratio)
    return alpha * shrink + dice_loss(maps["binary"], target, mask)
