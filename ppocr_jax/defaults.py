"""Default values of configs: the one place for every number of the published recipe.

`meanings` says what each key means; a comment here says why a value is what it is.

PaddleOCR's PP-OCRv3 detection recipe: Adam with coupled L2, a cosine learning rate schedule with
linear warm-up, 960x960 crops, eight images on each of eight devices.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import ml_collections

from ppocr_jax.averages import is_average


def small() -> dict[str, Any]:
    """The student: MobileNetV3-large x0.5 without squeeze-excite, RSE-FPN, DB head."""
    return dict(
        backbone=dict(name="MobileNetV3", scale=0.5, squeeze_excite=False),
        neck=dict(name="RSEFPN", channels=96, shortcut=True),
        head=dict(name="DBHead", kernels=(3, 2, 2), k=50.0),
    )


def large() -> dict[str, Any]:
    """The teacher: ResNet50_vd, LK-PAN with 9x9 kernels, DB head with a 7x7."""
    return dict(
        backbone=dict(name="ResNetVD", depths=(3, 4, 6, 3), width=64),
        neck=dict(name="LKPAN", channels=256, mode="large"),
        head=dict(name="DBHead", kernels=(7, 2, 2), k=50.0),
    )


def narrow() -> dict[str, Any]:
    """A small teacher for the quickstart: ResNet_vd with one block per stage, LK-PAN lite."""
    return dict(
        backbone=dict(name="ResNetVD", depths=(1, 1, 1, 1), width=32),
        neck=dict(name="LKPAN", channels=64, mode="lite"),
        head=dict(name="DBHead", kernels=(3, 2, 2), k=50.0),
    )


def all_pairs(roles: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """All pairs of roles: ("a", "b"), ("a", "c"), ("b", "c")."""
    return tuple(itertools.combinations(roles, 2))


def init_from(roles: Iterable[str]) -> dict[str, str]:
    """An empty entry per role, and "all" for one file that holds all of them.

    A path is a `.pdparams` file, a workdir, one of its checkpoints or an extracted folder. Averages
    have no entry: they start from the weights of their role.
    """
    own = [role for role in roles if not is_average(role)]
    return dict.fromkeys([*own, "all"], "")


def losses(
    labels: Sequence[str], mutual: Sequence[Any] | None = (), teacher: Sequence[Any] = ()
) -> dict[str, Any]:
    """The terms of the objective, over roles and pairs of roles.

    `total` is what gets differentiated: "mean", the losses as logged, or "sum", these times the
    global batch size. The published recipes with a mutual term differentiate the sum, which divides
    the effective strength of the coupled L2 by the batch size; the others differentiate the mean.

    Args:
        labels: roles that learn from labels.
        mutual: pairs of roles, each with an optional weight: `("a", "b")` or `("a", "b", 2.0)`.
        teacher: pairs `(student, teacher)` in the same form.
    """
    return dict(
        labels=labels,
        mutual=mutual,
        teacher=teacher,
        main="dice",
        balance=True,  # with dice it only matters for a batch without text
        alpha=5.0,
        beta=10.0,
        negative_ratio=3.0,
        mutual_act="none",
        teacher_thresh=0.3,
        teacher_where="labels",  # as published; "everywhere" includes ignored words
        total="sum" if mutual else "mean",
    )


def base(epochs: int) -> ml_collections.ConfigDict:
    """The keys of every config, with the published values, or ours where nothing is published."""
    config = ml_collections.ConfigDict()
    config.seed = 1024
    config.epochs = epochs
    config.steps = 0
    config.batch_size = 8
    config.crop = 960
    config.learning_rate = 1e-3  # published for 8 devices x 8 samples
    config.warmup_epochs = 2.0
    config.warmup_steps = 0
    config.time_limit_minutes = 0.0
    config.dtype = "float32"
    config.precision = "float32"
    config.optimizer = dict(name="adam", b1=0.9, b2=0.999, eps=1e-8, l2=5e-5)
    config.data = dict(
        root="",
        train="train_icdar2015_label.txt",
        val="test_icdar2015_label.txt",
        draw=dict(train=0, val=0, side=448, seed=1024),
        ratios=(1.0,),
        workers=-1,
        last_batch="fill",
        prefetch_mb=-1,
        max_bad_share=0.05,
        augment=dict(
            flip=0.5,
            rotate=(-10.0, 10.0),
            scale=(0.5, 3.0),
            crop_tries=50,
            min_crop_side=0.1,
            wordless="whole",
            paste=False,
            paste_ratio=0.2,
            streams="shared",
        ),
        targets=dict(shrink_ratio=0.4, thresh_min=0.3, thresh_max=0.7, min_text_size=8),
    )
    config.postprocess = dict(
        thresh=0.3,
        box_thresh=0.6,
        max_candidates=1000,
        unclip_ratio=1.5,
        use_dilation=False,
        score_mode="fast",
        box_type="quad",
    )
    config.eval = dict(
        every_steps=400,
        every_epochs=0,
        batch_size=4,
        limit_side=736,
        limit_type="min",
        shared_shapes=0,
        patience=0,
        patience_min_gain=0.0,
        patience_min_steps=0,
        pictures=8,
    )
    config.save = dict(every_steps=400)
    config.log = dict(
        every_steps=10,
        writers=("tensorboard",),
        pictures=4,
    )
    config.mesh = dict(devices=0)
    config.freeze = ()
    config.frozen_norm = "batch"  # as published
    config.norm_scope = "global"
    config.accumulate = 1
    config.remat = False
    config.average = dict(decay=0.0, share=0.2)
    config.best = dict(role="student")
    return config
