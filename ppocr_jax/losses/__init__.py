"""The training losses: the maps and targets of each role -> one objective and its named terms."""

from ppocr_jax.choices import Choices

# config.loss.main, the loss on the shrink map: (pred, target, mask), each `[B, H, W]` -> a scalar,
# or an unmasked loss per pixel `[B, H, W]` by which hard negatives are then picked.
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
