"""Combines the losses of all roles and pairs of roles into the objective of a training step."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import ml_collections
from jaxtyping import Array, Float

from ppocr_jax.errors import UserError
from ppocr_jax.losses import MUTUAL_ACTS
from ppocr_jax.losses.db import db_loss, make_shrink_loss
from ppocr_jax.losses.distill import mutual_loss, teacher_loss
from ppocr_jax.losses.pairs import weighted_pairs

LossFn = Callable[..., tuple[Float[Array, ""], dict[str, Float[Array, ""]]]]


def make_loss(config: ml_collections.ConfigDict) -> LossFn:
    """Builds the function that the train step differentiates.

    Args:
        config: `config.loss` (see `configs/parts.py`). `labels` is a tuple of roles; `mutual` and
            `teacher` are tuples of pairs, the student first, each with an optional weight. A
            frozen network in a `mutual` pair teaches its peer but does not learn. `teacher_where`
            decides whether a teacher also teaches where the labels' shrink mask is 0.

    Returns:
        `loss_fn(maps, batch, size=None) -> (objective, losses)`.

        `maps` is `{role: {"shrink", "threshold", "binary"}}` and `batch` holds the targets, all
        float `[B, H, W]`. `losses` maps `db/<role>/<map>`, `mutual/<role>-<role>`,
        `teacher/<student>-<teacher>` and `total` to scalars; weights are applied, and `total` is
        the sum of the others. The objective is `total`, or, if `config.total == "sum"`, `total`
        times `size`: the images in one update, by default those of the batch.

    Raises:
        UserError: `total`, `main` or `mutual_act` is not one of its choices.
    """
    if config.total not in ("sum", "mean"):
        raise UserError(f"config.loss.total={config.total}: choose sum or mean")
    shared = dict(alpha=config.alpha, shrink_loss=make_shrink_loss(config))
    act = MUTUAL_ACTS.pick("config.loss.mutual_act", config.mutual_act)

    def loss_fn(
        maps: Mapping[str, Mapping[str, Float[Array, "B H W"]]],
        batch: Mapping[str, Float[Array, "B H W"]],
        size: int | None = None,
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        losses: dict[str, Float[Array, ""]] = {}
        mask = batch["shrink_mask"]
        if config.teacher_where == "everywhere":  # a teacher may know words that labels ignore
            mask = jnp.ones_like(mask)
        # The order of the terms is part of the numbers: `total` adds them up in float32.
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
        total: Any = sum(losses.values())
        size = size or batch["shrink_map"].shape[0]
        # Adam's step does not depend on this factor, but the coupled L2 decay does: it counts for
        # less beside a larger gradient, as in the published recipes with a mutual loss.
        return (size if config.total == "sum" else 1) * total, {"total": total, **losses}

    return loss_fn
