"""Losses: maps and targets by role -> an objective and its named terms."""

from ppocr_jax.choices import Choices

MAIN_LOSSES = Choices(__name__, dice="db.dice_loss", bce="db.bce_loss", mask_l1="db.masked_l1_loss")
MUTUAL_ACTS = Choices(
    __name__, none="distill.none", softmax="distill.softmax", sigmoid="distill.sigmoid"
)
