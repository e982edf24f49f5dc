"""{role: maps}, batch -> the objective and every loss by name: terms over roles and pairs."""

import jax.numpy as jnp

from ppocr_jax.errors import UserError
from ppocr_jax.losses import MUTUAL_ACTS
from ppocr_jax.losses.db import db_loss, make_shrink_loss
from ppocr_jax.losses.distill import mutual_loss, teacher_loss
from ppocr_jax.losses.pairs import weighted_pairs


def make_loss(config):
    """The function that the train step differentiates.

    Args:
        config: `config.loss` (see `configs/parts.py`): `labels` is a tuple of roles, `mutual` and
            `teacher` tuples of pairs (the student first), each pair optionally with a weight.
            A frozen network in a pair of `mutual` teaches by its map as it is, and learns nothing.
            `teacher_where` says whether a teacher teaches where the labels' shrink mask is 0.

    Returns:
        `loss_fn(maps, batch, size=None) -> (objective, losses)`. `losses` maps `db/<role>/<map>`,
        `mutual/<role>-<role>`, `teacher/<student>-<teacher>` and `total` to scalars; weights
        are included, and `total` is their sum. The objective is `total` or, with
        `config.total == "sum"`, `size` times that: the images of one update, by default those of
        the batch.

    Raises:
        UserError: an unknown choice.
    """
    if config.total not in ("sum", "mean"):
        raise UserError(f"config.loss.total={config.total}: choose sum or mean")
    shared = dict(alpha=config.alpha, shrink_loss=make_shrink_loss(config))
    act = MUTUAL_ACTS.pick("config.loss.mutual_act", config.mutual_act)

    def loss_fn(maps, batch, size=None):
        losses, mask = {}, batch["shrink_mask"]
        if config.teacher_where == "everywhere":  # it may know the words that labels ignore
            mask = jnp.ones_like(mask)
        for student, teacher, weight in weighted_pairs(config.teacher):
            losses[f"teacher/{student}-{teacher}"] = weight * teacher_loss(
                maps[student],
                maps[teacher]["shrink"],
                mask,
                thresh=config.teacher_thresh,
                **shared,
            )
        for one, other, weight in weighted_pairs(config.mutual):
            per_image = mutual_loss(maps[one]["shrink"], maps[other]["shrink"], act)
            losses[f"mutual/{one}-{other}"] = weight * per_image.mean()
        for role in config.labels:
            for name, value in db_loss(maps[role], batch, beta=config.beta, **shared).items():
                losses[f"db/{role}/{name}"] = value
        total = sum(losses.values())
        size = size or batch["shrink_map"].shape[0]
        return (size if config.total == "sum" else 1) * total, {"total": total, **losses}

    return loss_fn
