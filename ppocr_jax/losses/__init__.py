"""Maps and targets by role -> the objective and its named terms."""

from ppocr_jax.choices import Choices

# config.loss.main, the shrink map's loss: (pred, target, mask) `[B, H, W]` each -> a scalar, or
# unmasked values per pixel `[B, H, W]`, which hard negatives are then chosen by.
MAIN_LOSSES = Choices(
    __name__,
    dice="db.dice_loss",
    bce="db.binary_cross_entropy",
    mask_l1="db.masked_l1_loss",
)

# config.loss.mutual_act, applied to both maps of the mutual loss: `[B, H, W]` -> `[B, H, W]`.
MUTUAL_ACTS = Choices(
    __name__,
    none="distill.unchanged",
    softmax="distill.softmax_over_width",
    sigmoid="distill.sigmoid",
)
