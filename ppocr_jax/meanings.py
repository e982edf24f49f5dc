"""The meaning of every config key and the file that reads it, as `ppocr-jax config` prints them.

Every key of `defaults` has an entry here. ROLE stands for the name of any network.
"""

from typing import NamedTuple


class Key(NamedTuple):
    """A key of a config.

    Attributes:
        meaning: with its unit, and what 0 or an empty value means.
        read_in: a file below `ppocr_jax/`; if several read the key, the one that uses it most.
    """

    meaning: str
    read_in: str


AUGMENT, DB, CADENCE = "data/augment.py", "losses/recipes.py", "training/cadence.py"
SPLITS, TARGETS, BOXES = "data/splits.py", "data/targets.py", "detection/postprocess.py"
RESIZE, NETWORK, PIPELINE = "data/resize.py", "models/detector.py", "data/pipeline.py"

# In the order in which they are listed.
KEYS = {
    "seed": Key("seed of the initial weights, the order of images and the augmentation", PIPELINE),
    "epochs": Key("passes over the training set; used if steps is 0", "data/training_split.py"),
    "steps": Key("updates of the run; 0: as many as the epochs need", "data/training_split.py"),
    "batch_size": Key(
        "images per update, over all devices and processes; 0: the largest that fits",
        PIPELINE,
    ),
    "crop": Key("side of the square training crop, pixels, a multiple of 32", PIPELINE),
    "learning_rate": Key(
        "peak learning rate, after the warm-up; 0.001 was published for batches of 64",
        "optim/schedule.py",
    ),
    "warmup_epochs": Key("epochs over which the learning rate rises from 0", "optim/schedule.py"),
    "warmup_steps": Key(
        "the same in steps; if not 0 it overrides warmup_epochs",
        "optim/schedule.py",
    ),
    "time_limit_minutes": Key(
        "time the run may take, over all its starts, minutes; 0: no limit",
        "training/limits.py",
    ),
    "freeze": Key(
        "frozen parts: backbone, neck or head of all trainable networks, or of one, such as "
        "student.backbone",
        "config.py",
    ),
    "average.decay": Key(
        "upper limit of the decay of the averaged weights (EMA); 0: no averages",
        "averages.py",
    ),
    "average.share": Key(
        "share of the updates so far that an average spans, as long as decay allows",
        "averages.py",
    ),
    "dtype": Key(
        "dtype of the networks' arithmetic; parameters, losses and maps stay float32",
        NETWORK,
    ),
    "precision": Key(
        "precision of float32 products on GPUs and TPUs; no effect on CPUs. float32: full. tf32: "
        "inputs rounded to 10 bits of mantissa, which an H100 multiplies 7 times as fast by its "
        "data sheet; the gain for a whole step was not measured. With it the published student's "
        "hmean on ICDAR2015 is 0.4650 instead of 0.4642 (simulated on a CPU), and 5 pixels in a "
        "million cross the threshold 0.3 (bfloat16: 100)",
        "models/precision.py",
    ),
    "optimizer.name": Key("name of the optimiser", "optim/__init__.py"),
    "optimizer.b1": Key(
        "decay of the running mean of the gradient (Adam's beta1)",
        "optim/adam.py",
    ),
    "optimizer.b2": Key(
        "decay of the running mean of the squared gradient (Adam's beta2)",
        "optim/adam.py",
    ),
    "optimizer.eps": Key("added to the square root in Adam's denominator", "optim/adam.py"),
    "optimizer.l2": Key(
        "coupled weight decay: added to the gradient before Adam's moments",
        "optim/adam.py",
    ),
    "trainable": Key("networks that are trained; the others are frozen", "training/start.py"),
    "init_from.ROLE": Key(
        "initial weights of this network: .pdparams, workdir, extracted folder, ONNX file or "
        "published name; empty: random",
        "training/start.py",
    ),
    "init_from.all": Key(
        "one source with the initial weights of every network",
        "training/start.py",
    ),
    "data.root": Key("folder of the images, or of shards written by `pack`", SPLITS),
    "data.train": Key(
        "training labels below data.root: label files or folders of gt_*.txt, separated by commas",
        "data/training_split.py",
    ),
    "data.val": Key("validation labels, in the same form", SPLITS),
    "data.draw.train": Key("synthetic scenes to create in data.root for training; 0: none", SPLITS),
    "data.draw.val": Key("synthetic scenes to create for validation; 0: none", SPLITS),
    "data.draw.side": Key("side of a synthetic scene, pixels", SPLITS),
    "data.draw.seed": Key("seed of the synthetic scenes", SPLITS),
    "data.ratios": Key(
        "share of each training source used per epoch; one value for all, or one for each",
        PIPELINE,
    ),
    "data.workers": Key(
        "processes that prepare samples; 0: threads of this process; -1: automatic (threads if "
        "training runs on a CPU, else by cores and memory)",
        "training/supply.py",
    ),
    "data.last_batch": Key(
        "last batch of an epoch; fill: completed with images of the next epoch, drop: left out",
        PIPELINE,
    ),
    "data.prefetch_mb": Key(
        "memory for finished batches that wait, over all workers, MiB; -1: automatic",
        "training/supply.py",
    ),
    "data.max_bad_share": Key(
        "a run ends if a larger share of the training images is unusable",
        "training/loop.py",
    ),
    "data.augment.flip": Key("probability of a horizontal flip", AUGMENT),
    "data.augment.rotate": Key("range of the rotation, degrees", AUGMENT),
    "data.augment.scale": Key("range of the scale factor", AUGMENT),
    "data.augment.crop_tries": Key("attempts to find a crop that contains text", AUGMENT),
    "data.augment.min_crop_side": Key(
        "smallest side of a crop, as a share of the image's side",
        AUGMENT,
    ),
    "data.augment.wordless": Key(
        "crop of an image without text to learn: the whole image, or a random crop",
        AUGMENT,
    ),
    "data.augment.paste": Key("whether words of other images are pasted in (copy-paste)", AUGMENT),
    "data.augment.paste_ratio": Key(
        "number of pasted words, as a share of the words in the image",
        AUGMENT,
    ),
    "data.augment.streams": Key(
        "random number streams; shared: one for all steps, as published, separate: one for each",
        "data/examples.py",
    ),
    "data.targets.shrink_ratio": Key(
        "shrink ratio r of the shrink map: smaller shrinks more",
        TARGETS,
    ),
    "data.targets.thresh_min": Key("value of the threshold map away from text edges", TARGETS),
    "data.targets.thresh_max": Key("value of the threshold map on a text edge", TARGETS),
    "data.targets.min_text_size": Key(
        "words lower or narrower than this in the crop are ignored, pixels",
        TARGETS,
    ),
    "loss.labels": Key("networks that learn from labels", DB),
    "loss.mutual": Key(
        "pairs for mutual learning, each with an optional weight; a frozen network in a pair only "
        "teaches",
        DB,
    ),
    "loss.teacher": Key("pairs (student, teacher), each with an optional weight", DB),
    "loss.main": Key("loss of the shrink map", "losses/db.py"),
    "loss.balance": Key(
        "hard negative mining (OHEM) in the loss of the shrink map",
        "losses/db.py",
    ),
    "loss.negative_ratio": Key("OHEM: hardest negatives kept per positive pixel", "losses/db.py"),
    "loss.alpha": Key("weight of the shrink map's loss", DB),
    "loss.beta": Key("weight of the threshold map's loss", DB),
    "loss.mutual_act": Key("activation applied to both maps of the mutual loss", DB),
    "loss.teacher_thresh": Key("threshold above which a pixel of the teacher's map is text", DB),
    "loss.teacher_where": Key(
        "where a teacher's map counts: where the labels do, or everywhere, ignored words included",
        DB,
    ),
    "loss.total": Key(
        "what is differentiated; mean: the logged losses, sum: these times the batch size",
        DB,
    ),
    "postprocess.thresh": Key("threshold of the shrink map: pixels above it are text", BOXES),
    "postprocess.box_thresh": Key("lowest mean score of a kept box", BOXES),
    "postprocess.max_candidates": Key("most regions of a map that are examined", BOXES),
    "postprocess.unclip_ratio": Key(
        "how far a region grows back to its word: larger grows more",
        BOXES,
    ),
    "postprocess.use_dilation": Key("whether the bitmap is dilated by a pixel first", BOXES),
    "postprocess.score_mode": Key(
        "mean score over the bounding box (fast) or over the exact outline (slow)",
        BOXES,
    ),
    "postprocess.box_type": Key("shape of a box: four corners (quad) or a polygon (poly)", BOXES),
    "eval.every_steps": Key("steps between evaluations; 0: only at the end", CADENCE),
    "eval.every_epochs": Key(
        "epochs between evaluations; if not 0 it overrides eval.every_steps",
        CADENCE,
    ),
    "eval.patience": Key(
        "early stopping after this many evaluations without gain; 0: off",
        "training/limits.py",
    ),
    "eval.patience_min_steps": Key("no early stopping before this step", "training/limits.py"),
    "eval.patience_min_gain": Key(
        "hmean by which an evaluation must improve to count as a gain",
        "training/judge.py",
    ),
    "eval.batch_size": Key("images of equal size per forward pass", "detection/inference.py"),
    "eval.limit_side": Key("length that limit_type resizes a side to, pixels", RESIZE),
    "eval.limit_type": Key(
        "min: enlarge the image if its shorter side is below limit_side, max: reduce it if its "
        "longer side is above, resize_long: resize the longer side to it",
        RESIZE,
    ),
    "eval.shared_shapes": Key(
        "round sides up to a multiple of this (a multiple of 32), so that sizes share a compiled "
        "program; 0: off",
        "detection/inference.py",
    ),
    "eval.pictures": Key("images in predictions.png at the end of a run", "training/judge.py"),
    "save.every_steps": Key("steps between checkpoints; 0: only at evaluations", CADENCE),
    "log.every_steps": Key("steps between log lines and records", CADENCE),
    "log.writers": Key(
        "where records go besides metrics.jsonl: any of tensorboard, mlflow; () for none",
        "training/loop.py",
    ),
    "log.pictures": Key(
        "images that writers get at each evaluation, predictions beside labels",
        "training/judge.py",
    ),
    "mesh.devices": Key("devices that share a batch; 0: all visible ones", "devices.py"),
    "frozen_norm": Key(
        "statistics that a frozen network normalises with: of the batch, or its stored ones",
        "training/start.py",
    ),
    "norm_scope": Key(
        "batch norm and the ratios inside losses are computed over the whole batch (global), or "
        "per device",
        "training/start.py",
    ),
    "accumulate": Key(
        "gradient accumulation: micro-batches per update, each with its own statistics and ratios",
        "training/start.py",
    ),
    "remat": Key(
        "rematerialisation: less memory for about a third more compute in the backbones",
        "training/start.py",
    ),
    "best.role": Key("network whose hmean selects the best checkpoint", "training/judge.py"),
    "roles.ROLE.backbone.name": Key("name of the backbone", NETWORK),
    "roles.ROLE.backbone.scale": Key("width multiplier of the channels", "models/mobilenet_v3.py"),
    "roles.ROLE.backbone.squeeze_excite": Key(
        "whether blocks have squeeze-and-excite",
        "models/mobilenet_v3.py",
    ),
    "roles.ROLE.backbone.blocks": Key(
        "which blocks of the published network, by index",
        "models/mobilenet_v3.py",
    ),
    "roles.ROLE.backbone.depths": Key("blocks in each stage", "models/resnet_vd.py"),
    "roles.ROLE.backbone.width": Key("channels of the first stage", "models/resnet_vd.py"),
    "roles.ROLE.neck.name": Key("name of the neck", NETWORK),
    "roles.ROLE.neck.channels": Key("channels of the fused feature maps", "models/rse_fpn.py"),
    "roles.ROLE.neck.shortcut": Key(
        "whether the layers have a residual shortcut",
        "models/rse_fpn.py",
    ),
    "roles.ROLE.neck.mode": Key(
        "lite: depthwise separable convolutions, large: full ones",
        "models/lk_pan.py",
    ),
    "roles.ROLE.head.name": Key("name of the head", NETWORK),
    "roles.ROLE.head.kernels": Key("sizes of its three kernels, pixels", "models/db_head.py"),
    "roles.ROLE.head.k": Key("k of the binary map: its steepness", "models/db_head.py"),
}
_PLACES = {key: place for place, key in enumerate(KEYS)}
OTHER = Key("an argument of this part of the network", NETWORK)


def place_of(key: str) -> int:
    """Position of a key in `KEYS`, for sorting; keys without an entry come last."""
    return _PLACES.get(pattern_of(key), len(_PLACES))


def pattern_of(key: str) -> str:
    """Replaces the name of a network in a dotted key by ROLE."""
    section, _, rest = key.partition(".")
    if section == "roles":
        return f"roles.ROLE.{rest.partition('.')[2]}"
    return "init_from.ROLE" if section == "init_from" and rest != "all" else key


def meaning_of(key: str) -> Key | None:
    """`Key` of a dotted key; `OTHER` for other arguments of a network, None for unknown keys."""
    known = KEYS.get(pattern_of(key))
    return OTHER if known is None and key.startswith("roles.") else known
