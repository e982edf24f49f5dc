"""The values that configs start from. Every number of the published recipe stands here once.

PaddleOCR's PP-OCRv3 detection recipe: Adam with coupled L2, cosine rate with a linear warm-up,
960x960 crops, eight images on each of eight devices.
"""

import itertools

import ml_collections

from ppocr_jax.averages import is_average


def small():
    """The student: MobileNetV3-large x0.5 without squeeze-excite, RSE-FPN, DB head."""
    return dict(
        backbone=dict(name="MobileNetV3", scale=0.5, squeeze_excite=False),
        neck=dict(name="RSEFPN", channels=96, shortcut=True),
        head=dict(name="DBHead", kernels=(3, 2, 2), k=50.0),
    )


def large():
    """The teacher: ResNet50_vd, LK-PAN with 9x9 kernels, DB head with a 7x7."""
    return dict(
        backbone=dict(name="ResNetVD", depths=(3, 4, 6, 3), width=64),
        neck=dict(name="LKPAN", channels=256, mode="large"),
        head=dict(name="DBHead", kernels=(7, 2, 2), k=50.0),
    )


def narrow():
    """A teacher for a first try: ResNet_vd of one block a stage, LK-PAN lite."""
    return dict(
        backbone=dict(name="ResNetVD", depths=(1, 1, 1, 1), width=32),
        neck=dict(name="LKPAN", channels=64, mode="lite"),
        head=dict(name="DBHead", kernels=(3, 2, 2), k=50.0),
    )


def all_pairs(roles):
    """Every role with every later one: ("a", "b"), ("a", "c"), ("b", "c")."""
    return tuple(itertools.combinations(roles, 2))


def init_from(roles):
    """One empty entry per role, and "all" for a file that holds the trees of all of them.

    A path is a `.pdparams` file, a workdir, one of its checkpoints or an extracted folder. An
    average has none: it begins at the weights of its role.
    """
    own = [role for role in roles if not is_average(role)]
    return dict.fromkeys([*own, "all"], "")


def losses(labels, mutual=(), teacher=()):
    """Terms of the objective, over roles and pairs of roles.

    `total` says what the gradient is taken of: "mean", the losses as they are logged, or "sum",
    the global batch size times that. The published recipes with a mutual term differentiate the
    sum, which divides the effective strength of the coupled L2 by the batch size; the others
    differentiate the mean.
    """
    return dict(
        labels=labels,
        mutual=mutual,
        teacher=teacher,
        main="dice",  # the shrink map's loss, of losses.MAIN_LOSSES
        balance=True,  # hard negatives; for dice they change nothing but a batch without text
        alpha=5.0,  # weight of the shrink map
        beta=10.0,  # weight of the threshold map
        negative_ratio=3.0,
        mutual_act="none",  # applied to both maps, of losses.MUTUAL_ACTS
        teacher_thresh=0.3,
        teacher_where="labels",  # labels count, as published, or everywhere: ignored words too
        total="sum" if mutual else "mean",
    )


def base(epochs):
    """What every config has. Published values; where the recipe is silent, ours."""
    config = ml_collections.ConfigDict()
    config.seed = 1024
    config.epochs = epochs
    config.steps = 0  # 0: as many as the epochs need
    config.batch_size = 8  # samples of one update, over all devices and processes
    config.crop = 960  # pixels, a multiple of 32
    config.learning_rate = 1e-3  # published for 8 devices x 8 samples
    config.warmup_epochs = 2.0
    config.warmup_steps = 0  # when set, it replaces warmup_epochs
    config.time_limit_minutes = 0.0  # of the run's own time, all its starts together; 0: none
    config.dtype = "float32"  # of activations: float32 or bfloat16; parameters stay float32
    config.precision = "float32"  # of float32 products on GPUs and TPUs; or tf32
    config.optimizer = dict(name="adam", b1=0.9, b2=0.999, eps=1e-8, l2=5e-5)
    config.data = dict(
        root="",  # folder of the images
        train="train_icdar2015_label.txt",  # label files or folders of gt_*.txt, comma-separated
        val="test_icdar2015_label.txt",
        draw=dict(train=0, val=0, side=448, seed=1024),  # scenes drawn into root, if any
        ratios=(1.0,),  # share of each training source drawn per epoch
        workers=-1,  # processes that prepare samples; 0: threads of this one; -1: chosen
        last_batch="fill",  # fill: completed from the next epoch's order; drop: left out
        prefetch_mb=-1,  # of finished batches waiting, over all workers; -1: chosen
        max_bad_share=0.05,  # training stops when more records than this cannot be used
        augment=dict(
            flip=0.5,
            rotate=(-10.0, 10.0),  # degrees
            scale=(0.5, 3.0),
            crop_tries=50,
            min_crop_side=0.1,  # of the image's side
            wordless="whole",  # crop of an image without a word to learn: whole, or random
            paste=False,  # words of another image
            paste_ratio=0.2,
            streams="shared",  # one generator draws for all entries, in order; or "separate"
        ),
        targets=dict(shrink_ratio=0.4, thresh_min=0.3, thresh_max=0.7, min_text_size=8),
    )
    config.postprocess = dict(
        thresh=0.3,
        box_thresh=0.6,
        max_candidates=1000,
        unclip_ratio=1.5,
        use_dilation=False,
        score_mode="fast",  # fast: mean over the box; slow: over the contour
        box_type="quad",  # quad or poly
    )
    config.eval = dict(
        every_steps=400,
        every_epochs=0,  # when set, it replaces every_steps
        batch_size=4,  # images of equal size in one pass
        limit_side=736,  # pixels; see data/resize.py
        limit_type="min",
        shared_shapes=0,  # 0: each image at its own size; else sides rounded up to this multiple
        patience=0,  # evaluations in a row without gain that end the run; 0: none do
        patience_min_gain=0.0,  # of hmean; a gain is more than that
        patience_min_steps=0,  # updates before which patience ends nothing
        pictures=8,  # images in the picture of predictions beside labels at the end
    )
    config.save = dict(every_steps=400)
    config.log = dict(
        every_steps=10,
        writers=("tensorboard",),  # what gets the records beside metrics.jsonl
        pictures=4,  # images that the writers get at each evaluation, predictions beside labels
    )
    config.mesh = dict(devices=0)  # 0: all that are visible
    config.freeze = ()  # backbone, neck or head of all that learn, or of one: student.backbone
    config.frozen_norm = "batch"  # of a frozen network: batch statistics (published) or stored
    config.norm_scope = "global"  # batch norm and loss ratios over the whole batch, or per device
    config.accumulate = 1  # micro-batches of an update, each with its own statistics and ratios
    config.remat = False  # less memory for about a third more arithmetic in the backbones
    # An average of each network that learns, over about that share of the updates so far.
    config.average = dict(decay=0.0, share=0.2)  # decay: kept by an update at most; 0: no average
    config.best = dict(role="student")
    return config
