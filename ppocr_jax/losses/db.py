"""Losses of one network against its labels: dice, masked L1, balanced loss, and their sum.

Maps, targets and masks are `[B, H, W]`. Sums run over the whole batch, not per image: a batch is
one big picture to these losses. Source: DB (arXiv:1911.08947) and PP-OCRv3 (arXiv:2206.03001).
"""

import functools

import jax
import jax.numpy as jnp

from ppocr_jax.losses import MAIN_LOSSES

EPS = 1e-6


def dice_loss(pred, target, mask):
    """1 - 2 sum(pred target mask) / (sum(pred mask) + sum(target mask) + eps), a scalar.

    1, without gradient towards the target, where a batch has no text or counts nowhere.
    """
    intersection = (pred * target * mask).sum()
    union = (pred * mask).sum() + (target * mask).sum() + EPS
    return 1.0 - 2.0 * intersection / union


def masked_l1_loss(pred, target, mask):
    """Mean absolute difference where `mask` is 1; 0 when it is nowhere. A scalar."""
    return (jnp.abs(pred - target) * mask).sum() / (mask.sum() + EPS)


def binary_cross_entropy(pred, target, mask=None):
    """-t log p - (1 - t) log(1 - p) per pixel, logarithms cut at -100; `mask` is not applied."""
    log_p = jnp.maximum(jnp.log(pred), -100.0)
    log_not_p = jnp.maximum(jnp.log1p(-pred), -100.0)
    return -(target * log_p + (1.0 - target) * log_not_p)


def balanced_loss(pred, target, mask, main=dice_loss, negative_ratio=3.0):
    """Positives plus as many of the hardest negatives as `negative_ratio` allows.

    Mean of `main` over the text pixels and over the `negative_ratio` times as many background
    pixels where it is largest. 0, without gradient, when the batch has no text pixel. The counts
    are truncated to integers and pass no gradient.

    Where the main loss is one scalar, as dice and masked L1 are, its hardest negatives are copies
    of it and the balance is a factor of almost 1; only a loss per pixel ranks pixels.

    Args:
        pred, target, mask: `[B, H, W]`, values in [0, 1].
        main: a function of `MAIN_LOSSES`.

    Returns:
        A scalar.
    """
    positive, negative = target * mask, (1.0 - target) * mask
    num_positive = jnp.floor(jax.lax.stop_gradient(positive.sum()))
    limit = jnp.floor(num_positive * negative_ratio)
    num_negative = jnp.minimum(jnp.floor(jax.lax.stop_gradient(negative.sum())), limit)
    loss = main(pred, target, mask)
    if loss.ndim:  # of every pixel
        hardest = _sum_of_largest((negative * loss).reshape(-1), num_negative)
        return ((positive * loss).sum() + hardest) / (num_positive + num_negative + EPS)
    # The copies of the scalar that are ranked are negative * loss. Masks are 0 or 1, so that the
    # largest sum up to their count; only a fractional mask makes sorting them worth its time.
    hardest = jax.lax.cond(
        ((negative == 0.0) | (negative == 1.0)).all(),
        lambda negative: num_negative,
        lambda negative: _sum_of_largest(negative.reshape(-1), num_negative),
        jax.lax.stop_gradient(negative),
    )
    return loss * (positive.sum() + hardest) / (num_positive + num_negative + EPS)


def _sum_of_largest(values, count):
    """Sum of the `count` largest of `values` `[n]`; `count` is a traced whole number."""
    ordered = jnp.sort(values, descending=True)
    rank = jnp.arange(values.size, dtype=count.dtype)
    return jnp.where(rank < count, ordered, 0.0).sum()


def unbalanced_loss(pred, target, mask, main=dice_loss):
    """The main loss itself; of one per pixel, the mean over all pixels, masked or not."""
    loss = main(pred, target, mask)
    return loss.mean() if loss.ndim else loss


def make_shrink_loss(config):
    """The shrink map's loss that a config asks for: `(pred, target, mask) -> scalar`.

    Args:
        config: `config.loss`; main, balance and negative_ratio are read.

    Raises:
        UserError: there is no such main loss.
    """
    main = MAIN_LOSSES.pick("config.loss.main", config.main)
    if not config.balance:
        return functools.partial(unbalanced_loss, main=main)
    return functools.partial(balanced_loss, main=main, negative_ratio=config.negative_ratio)


def db_loss(maps, batch, *, alpha=5.0, beta=10.0, shrink_loss=balanced_loss):
    """Named losses of a network's three maps; their sum is what it is trained on.

    Args:
        maps: `{"shrink", "threshold", "binary"}`, each `[B, H, W]`.
        batch: `shrink_map`, `shrink_mask`, `threshold_map`, `threshold_mask`, each `[B, H, W]`.
        alpha: weight of the shrink map.
        beta: weight of the threshold map.
        shrink_loss: of the shrink map, see `make_shrink_loss`.

    Returns:
        `{"shrink", "threshold", "binary"}`, scalars, weights included.
    """
    target, mask = batch["shrink_map"], batch["shrink_mask"]
    return {
        "shrink": alpha * shrink_loss(maps["shrink"], target, mask),
        "threshold": beta
        * masked_l1_loss(maps["threshold"], batch["threshold_map"], batch["threshold_mask"]),
        "binary": dice_loss(maps["binary"], target, mask),
    }
