"""Losses of one network against the labels: dice, masked L1, OHEM balancing, and their sum.

Maps, targets and masks are `[B, H, W]`. Sums run over the whole batch rather than per image: to
these losses a batch is one big image. Source: DB (arXiv:1911.08947) and PP-OCRv3
(arXiv:2206.03001).
"""

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import ml_collections
from jaxtyping import Array, Float

from ppocr_jax.losses import MAIN_LOSSES

EPS = 1e-6  # PaddleOCR's, in dice, masked L1 and the balanced loss alike

# (pred, target, mask) -> a scalar, or a loss per pixel.
MainLoss = Callable[..., Float[Array, "..."]]
# (pred, target, mask) -> a scalar.
ShrinkLoss = Callable[..., Float[Array, ""]]


def dice_loss(
    pred: Float[Array, "B H W"], target: Float[Array, "B H W"], mask: Float[Array, "B H W"]
) -> Float[Array, ""]:
    """Dice loss, 1 - 2 sum(pred target mask) / (sum(pred mask) + sum(target mask) + eps).

    A batch without text, or with an all-zero mask, gives 1 and teaches nothing about text.
    """
    intersection = (pred * target * mask).sum()
    # Plain sums, as in DB; V-Net's dice squares both terms.
    union = (pred * mask).sum() + (target * mask).sum() + EPS
    return 1.0 - 2.0 * intersection / union


def masked_l1_loss(
    pred: Float[Array, "B H W"], target: Float[Array, "B H W"], mask: Float[Array, "B H W"]
) -> Float[Array, ""]:
    """Mean absolute difference over the pixels where `mask` is 1; 0 for an all-zero mask."""
    return (jnp.abs(pred - target) * mask).sum() / (mask.sum() + EPS)


def binary_cross_entropy(
    pred: Float[Array, "B H W"],
    target: Float[Array, "B H W"],
    mask: Float[Array, "B H W"] | None = None,
) -> Float[Array, "B H W"]:
    """Cross entropy per pixel, -t log p - (1 - t) log(1 - p).

    Args:
        pred: probabilities p, in [0, 1].
        target: t, in [0, 1].
        mask: not used here; the caller applies it to the loss of each pixel.
    """
    # Predictions do reach exactly 0 and 1 in float32. Cutting the logarithms at -100, as PyTorch
    # and Paddle do, keeps the loss and its gradient finite there.
    log_p = jnp.maximum(jnp.log(pred), -100.0)
    log_not_p = jnp.maximum(jnp.log1p(-pred), -100.0)
    return -(target * log_p + (1.0 - target) * log_not_p)


def balanced_loss(
    pred: Float[Array, "B H W"],
    target: Float[Array, "B H W"],
    mask: Float[Array, "B H W"],
    main: MainLoss = dice_loss,
    negative_ratio: float = 3.0,
) -> Float[Array, ""]:
    """The main loss with online hard example mining (OHEM) of background pixels.

    Averages `main` over all text pixels and over the hardest background pixels, at most
    `negative_ratio` of them for each text pixel. A batch without text pixels gives 0 and no
    gradient. Both pixel counts are truncated to integers and pass no gradient.

    If `main` returns a scalar, as dice and masked L1 do, there are no pixels to rank: its "hardest
    negatives" are copies of that scalar, and balancing multiplies it by almost exactly 1.

    Args:
        pred, target, mask: values in [0, 1].
        main: a function from `MAIN_LOSSES`.
        negative_ratio: background pixels kept per text pixel.
    """
    # Count the text pixels, and the background pixels to keep.
    positive, negative = target * mask, (1.0 - target) * mask
    num_positive = jnp.floor(jax.lax.stop_gradient(positive.sum()))
    limit = jnp.floor(num_positive * negative_ratio)
    num_negative = jnp.minimum(jnp.floor(jax.lax.stop_gradient(negative.sum())), limit)
    loss = main(pred, target, mask)
    if loss.ndim:  # a loss per pixel: rank the background pixels by it
        hardest = _sum_of_largest((negative * loss).reshape(-1), num_negative)
        return ((positive * loss).sum() + hardest) / (num_positive + num_negative + EPS)
    # A scalar loss: the reference ranks the copies `negative * loss`. With a mask of zeros and
    # ones the `num_negative` largest sum to `num_negative`, so sorting all pixels, which is slow,
    # is left to batches whose mask has fractions in it.
    hardest = jax.lax.cond(
        ((negative == 0.0) | (negative == 1.0)).all(),
        lambda negative: num_negative,
        lambda negative: _sum_of_largest(negative.reshape(-1), num_negative),
        jax.lax.stop_gradient(negative),
    )
    return loss * (positive.sum() + hardest) / (num_positive + num_negative + EPS)


def _sum_of_largest(values: Float[Array, "N"], count: Float[Array, ""]) -> Float[Array, ""]:
    """Sum of the `count` largest values; `count` is a whole number that may be traced."""
    # A traced count rules out `top_k` and slices, whose sizes are fixed: sort, then mask by rank.
    ordered = jnp.sort(values, descending=True)
    rank = jnp.arange(values.size, dtype=count.dtype)
    return jnp.where(rank < count, ordered, 0.0).sum()


def unbalanced_loss(
    pred: Float[Array, "B H W"],
    target: Float[Array, "B H W"],
    mask: Float[Array, "B H W"],
    main: MainLoss = dice_loss,
) -> Float[Array, ""]:
    """The main loss without OHEM; a loss per pixel is averaged over all pixels, masked or not."""
    loss = main(pred, target, mask)
    # Ignoring the mask here is the reference's behaviour.
    return loss.mean() if loss.ndim else loss


def make_shrink_loss(config: ml_collections.ConfigDict) -> ShrinkLoss:
    """Builds the loss on the shrink map, `(pred, target, mask) -> scalar`.

    Args:
        config: `config.loss`; reads `main`, `balance` and `negative_ratio`.

    Raises:
        UserError: `config.main` names no known loss.
    """
    main = MAIN_LOSSES.pick("config.loss.main", config.main)
    if not config.balance:
        return functools.partial(unbalanced_loss, main=main)
    return functools.partial(balanced_loss, main=main, negative_ratio=config.negative_ratio)


def db_loss(
    maps: Mapping[str, Float[Array, "B H W"]],
    batch: Mapping[str, Float[Array, "B H W"]],
    *,
    alpha: float = 5.0,
    beta: float = 10.0,
    shrink_loss: ShrinkLoss = balanced_loss,
) -> dict[str, Float[Array, ""]]:
    """Losses of a network's three maps by name; training minimises their sum.

    Args:
        maps: predicted maps `shrink`, `threshold` and `binary`.
        batch: targets `shrink_map`, `shrink_mask`, `threshold_map` and `threshold_mask`.
        alpha: weight of the shrink loss.
        beta: weight of the threshold loss.
        shrink_loss: loss on the shrink map, see `make_shrink_loss`.

    Returns:
        `{"shrink", "threshold", "binary"}`, each with its weight applied.
    """
    target, mask = batch["shrink_map"], batch["shrink_mask"]
    return {
        "shrink": alpha * shrink_loss(maps["shrink"], target, mask),
        "threshold": beta
        * masked_l1_loss(maps["threshold"], batch["threshold_map"], batch["threshold_mask"]),
        # The binary map shares the shrink map's target, and is never balanced.
        "binary": dice_loss(maps["binary"], target, mask),
    }
