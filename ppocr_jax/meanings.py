"""What every key of a config means, and the file that reads it: what `ppocr-jax config` prints.

A key of `defaults` has its line here. ROLE stands for the name of any network.
"""

from typing import NamedTuple


class Key(NamedTuple):
    """A key of a config.

    Attributes:
        meaning: with its unit, and what 0 or an empty value says.
        read_in: a file below `ppocr_jax/`; where several read it, the one that does most with it.
    """

    meaning: str
    read_in: str


AUGMENT, DB, CADENCE = "data/augment.py", "losses/recipes.py", "training/cadence.py"
SPLITS, TARGETS, BOXES = "data/splits.py", "data/targets.py", "detection/postprocess.py"
RESIZE, NETWORK, PIPELINE = "data/resize.py", "models/detector.py", "data/pipeline.py"

KEYS = {
    "seed": Key("of fresh values, order of images and augmentation", PIPELINE),
    "epochs": Key("passes over the training images, where steps is 0", "data/training_split.py"),
    "steps": Key("updates of the run; 0: as many as the epochs need", "data/training_split.py"),
    "batch_size": Key(
        "images of one update, over all devices and processes; 0: the largest that fits", PIPELINE
    ),
    "crop": Key("side of the square that is learned from, pixels, a multiple of 32", PIPELINE),
    "learning_rate": Key(
        "highest rate, after the warm-up; 0.001 was published for batches of 64",
        "optim/schedule.py",
    ),
    "warmup_epochs": Key("epochs in which the rate rises from 0", "optim/schedule.py"),
    "warmup_steps": Key("updates of it, in the place of warmup_epochs", "optim/schedule.py"),
    "time_limit_minutes": Key(
        "that the run may take, all its starts together; 0: no limit", "training/limits.py"
    ),
    "freeze": Key(
        "parts that do not learn: backbone, neck or head of all that learn, or of one, such as "
        "student.backbone",
        "config.py",
    ),
    "average.decay": Key(
        "share of an averaged weight that an update keeps, at most; 0: no averages", "averages.py"
    ),
    "average.share": Key("of the updates so far that an average is over", "averages.py"),
    "dtype": Key("of the networks' arithmetic; parameters and losses stay float32", NETWORK),
    "precision": Key(
        "of float32 products on GPUs and TPUs, nothing on CPUs. float32: in full. tf32: factors "
        "rounded to 10 bits, which an H100 multiplies 7 times as fast by its data sheet; how much "
        "that is of a step was not measured. The published student's hmean on ICDAR2015 is then "
        "0.4650 in the place of 0.4642, rounded so on a CPU; 5 pixels in a million cross 0.3 "
        "(bfloat16: 100)",
        "models/precision.py",
    ),
    "optimizer.name": Key("which optimiser", "optim/__init__.py"),
    "optimizer.b1": Key("decay of the mean of gradients", "optim/adam.py"),
    "optimizer.b2": Key("decay of the mean of squared gradients", "optim/adam.py"),
    "optimizer.eps": Key("added to the root of the squares", "optim/adam.py"),
    "optimizer.l2": Key("weight decay that joins the gradient before the moments", "optim/adam.py"),
    "trainable": Key("networks that learn; the others are frozen", "training/start.py"),
    "init_from.ROLE": Key(
        "weights that this network starts from: .pdparams, workdir, extracted folder, ONNX file "
        "or published name; empty: fresh values",
        "training/start.py",
    ),
    "init_from.all": Key("one source that holds the weights of every network", "training/start.py"),
    "data.root": Key("folder of the images, or of shards that `pack` has made", SPLITS),
    "data.train": Key(
        "label files, or folders of gt_*.txt, below data.root; several by commas",
        "data/training_split.py",
    ),
    "data.val": Key("the same for what is scored", SPLITS),
    "data.draw.train": Key("scenes to draw into data.root for training; 0: none", SPLITS),
    "data.draw.val": Key("scenes to draw for scoring; 0: none", SPLITS),
    "data.draw.side": Key("of a drawn scene, pixels", SPLITS),
    "data.draw.seed": Key("of the drawn scenes", SPLITS),
    "data.ratios": Key(
        "share of each training source that an epoch takes, one for all or one each", PIPELINE
    ),
    "data.workers": Key(
        "processes that prepare images; 0: threads of this one; -1: chosen, threads where updates "
        "run on processors, else by cores and memory",
        "training/supply.py",
    ),
    "data.last_batch": Key(
        "of an epoch; fill: completed from the next epoch's order, drop: left out", PIPELINE
    ),
    "data.prefetch_mb": Key(
        "of finished batches that may wait, over all workers, MiB; -1: chosen as well",
        "training/supply.py",
    ),
    "data.max_bad_share": Key(
        "share of unusable training images at which a run ends", "training/loop.py"
    ),
    "data.augment.flip": Key("probability of a mirrored image", AUGMENT),
    "data.augment.rotate": Key("least and most, degrees", AUGMENT),
    "data.augment.scale": Key("least and most factor of the size", AUGMENT),
    "data.augment.crop_tries": Key("places that are tried until one holds text", AUGMENT),
    "data.augment.min_crop_side": Key("least side of the crop, share of the image's", AUGMENT),
    "data.augment.wordless": Key(
        "crop of an image without a word to learn: the whole image, or at random", AUGMENT
    ),
    "data.augment.paste": Key("whether words of other images are pasted in", AUGMENT),
    "data.augment.paste_ratio": Key("how many, as a share of the words there are", AUGMENT),
    "data.augment.streams": Key(
        "of random numbers; shared: one for all steps, as published, separate: one each",
        "data/examples.py",
    ),
    "data.targets.shrink_ratio": Key(
        "how much words are shrunk in their map: smaller shrinks more", TARGETS
    ),
    "data.targets.thresh_min": Key("threshold map far from an edge", TARGETS),
    "data.targets.thresh_max": Key("threshold map on an edge", TARGETS),
    "data.targets.min_text_size": Key(
        "words lower or narrower than this in the crop teach nothing, pixels", TARGETS
    ),
    "loss.labels": Key("networks that learn from labels", DB),
    "loss.mutual": Key(
        "pairs that teach each other by their maps, each with a weight if it needs one; a frozen "
        "network teaches alone",
        DB,
    ),
    "loss.teacher": Key("pairs (student, teacher), each with a weight if it needs one", DB),
    "loss.main": Key("loss of the shrink map", "losses/db.py"),
    "loss.balance": Key("whether only the hardest negatives count in it", "losses/db.py"),
    "loss.negative_ratio": Key("how many of them for each positive pixel", "losses/db.py"),
    "loss.alpha": Key("weight of the shrink map", DB),
    "loss.beta": Key("weight of the threshold map", DB),
    "loss.mutual_act": Key("applied to both maps of the mutual loss", DB),
    "loss.teacher_thresh": Key("at which a teacher's map counts as text", DB),
    "loss.teacher_where": Key(
        "where a teacher teaches: where the labels count, or everywhere, ignored words included", DB
    ),
    "loss.total": Key("what is differentiated: the losses, or images of an update times them", DB),
    "postprocess.thresh": Key("a map's value from which a pixel is text", BOXES),
    "postprocess.box_thresh": Key("lowest mean of the map over a box that is kept", BOXES),
    "postprocess.max_candidates": Key("regions of a map that are looked at", BOXES),
    "postprocess.unclip_ratio": Key("how much a found region grows back: larger, more", BOXES),
    "postprocess.use_dilation": Key("whether regions grow by a pixel first", BOXES),
    "postprocess.score_mode": Key("mean over the box (fast) or over its outline (slow)", BOXES),
    "postprocess.box_type": Key("four corners (quad) or an outline (poly)", BOXES),
    "eval.every_steps": Key("updates between evaluations; 0: only at the end", CADENCE),
    "eval.every_epochs": Key("the same in epochs; where it is not 0 it goes first", CADENCE),
    "eval.patience": Key(
        "evaluations without gain after which a run ends; 0: it does not", "training/limits.py"
    ),
    "eval.patience_min_steps": Key("updates that are made in any case", "training/limits.py"),
    "eval.patience_min_gain": Key("of hmean, more than which is a gain", "training/judge.py"),
    "eval.batch_size": Key("images of equal size in one pass", "detection/inference.py"),
    "eval.limit_side": Key("what limit_type brings a side to, pixels", RESIZE),
    "eval.limit_type": Key(
        "min: the shorter side is enlarged to it, max: the longer one reduced to it, "
        "resize_long: the longer one brought to it",
        RESIZE,
    ),
    "eval.shared_shapes": Key(
        "multiple (of 32) that sides are rounded up to, so that images share programs; 0: none",
        "detection/inference.py",
    ),
    "eval.pictures": Key("images in predictions.png at the end of a run", "training/judge.py"),
    "save.every_steps": Key("updates between saved states; 0: only at evaluations", CADENCE),
    "log.every_steps": Key("updates between two lines and records", CADENCE),
    "log.writers": Key(
        "what gets the records beside metrics.jsonl: any of tensorboard, mlflow; () for none",
        "training/loop.py",
    ),
    "log.pictures": Key(
        "images that the writers get at each evaluation, predictions beside labels",
        "training/judge.py",
    ),
    "mesh.devices": Key("devices that share a batch; 0: all that are visible", "devices.py"),
    "frozen_norm": Key(
        "what a frozen network normalises with: the batch, or its stored statistics",
        "training/start.py",
    ),
    "norm_scope": Key(
        "batch norm and the losses' ratios over the whole batch, or each device's part of it",
        "training/start.py",
    ),
    "accumulate": Key(
        "micro-batches of an update, each with its own statistics and ratios", "training/start.py"
    ),
    "remat": Key(
        "less memory for about a third more arithmetic in the backbones", "training/start.py"
    ),
    "best.role": Key("the network whose hmean chooses the best state", "training/judge.py"),
    "roles.ROLE.backbone.name": Key("which backbone", NETWORK),
    "roles.ROLE.backbone.scale": Key("factor of the channels", "models/mobilenet_v3.py"),
    "roles.ROLE.backbone.squeeze_excite": Key(
        "whether blocks weigh their channels", "models/mobilenet_v3.py"
    ),
    "roles.ROLE.backbone.blocks": Key(
        "which blocks of the published network, by number", "models/mobilenet_v3.py"
    ),
    "roles.ROLE.backbone.depths": Key("blocks of each stage", "models/resnet_vd.py"),
    "roles.ROLE.backbone.width": Key("channels of the first stage", "models/resnet_vd.py"),
    "roles.ROLE.neck.name": Key("which neck", NETWORK),
    "roles.ROLE.neck.channels": Key("of the fused maps", "models/rse_fpn.py"),
    "roles.ROLE.neck.shortcut": Key("whether a layer's input is added", "models/rse_fpn.py"),
    "roles.ROLE.neck.mode": Key("lite: separable kernels, or large", "models/lk_pan.py"),
    "roles.ROLE.head.name": Key("which head", NETWORK),
    "roles.ROLE.head.kernels": Key("sides of its three kernels, pixels", "models/db_head.py"),
    "roles.ROLE.head.k": Key("steepness of the binary map", "models/db_head.py"),
}
_PLACES = {key: place for place, key in enumerate(KEYS)}
OTHER = Key("an argument of this part of the network", NETWORK)


def place_of(key):
    """Where a key stands among `KEYS`; what has no line stands last."""
    return _PLACES.get(pattern_of(key), len(_PLACES))


def pattern_of(key):
    """A dotted key with ROLE for the name of a network."""
    section, _, rest = key.partition(".")
    if section == "roles":
        return f"roles.ROLE.{rest.partition('.')[2]}"
    return "init_from.ROLE" if section == "init_from" and rest != "all" else key


def meaning_of(key):
    """`Key` of a dotted key; `OTHER` for what a network alone knows, None where it has no line."""
    known = KEYS.get(pattern_of(key))
    return OTHER if known is None and key.startswith("roles.") else known
