"""A config as a run sees it: checked values, its saved form, what a resume may change."""

import math

from ppocr_jax import averages, files
from ppocr_jax.data import RESIZE_RULES, STREAMS
from ppocr_jax.errors import UserError
from ppocr_jax.forms import FORM, flatten, plain, upgrade
from ppocr_jax.losses import MAIN_LOSSES, MUTUAL_ACTS
from ppocr_jax.losses.pairs import weighted_pairs
from ppocr_jax.models import BACKBONES, DTYPES, HEADS, NECKS, PRECISIONS
from ppocr_jax.optim import OPTIMISERS
from ppocr_jax.writers import WRITERS

MOST_SIDE = 8192  # pixels of a picture or a crop; one such map alone takes 256 MiB
TUNED = ((4, 1e-3), (32, 2e-3))  # batches and rates that fine-tuned the published student well

NAMES = {  # key: the names that it may have; those of functions are tables in the rooms
    "dtype": DTYPES,
    "precision": tuple(PRECISIONS),
    "optimizer.name": OPTIMISERS,
    "data.last_batch": ("fill", "drop"),
    "data.augment.streams": STREAMS,
    "data.augment.wordless": ("whole", "random"),
    "loss.main": MAIN_LOSSES,
    "loss.mutual_act": MUTUAL_ACTS,
    "loss.teacher_where": ("labels", "everywhere"),
    "loss.total": ("sum", "mean"),
    "norm_scope": ("global", "device"),
    "frozen_norm": ("batch", "stored"),
    "eval.limit_type": RESIZE_RULES,
    "postprocess.score_mode": ("fast", "slow"),
    "postprocess.box_type": ("quad", "poly"),
}
AT_LEAST = {
    "seed": 0,
    "data.draw.seed": 0,
    "data.draw.train": 0,
    "data.draw.val": 0,
    "data.draw.side": 96,
    "batch_size": 0,
    "epochs": 1,
    "steps": 0,
    "learning_rate": 0,
    "warmup_epochs": 0,
    "warmup_steps": 0,
    "time_limit_minutes": 0,
    "accumulate": 1,
    "average.decay": 0,
    "average.share": 0,
    "data.workers": -1,
    "data.prefetch_mb": -1,
    "data.augment.crop_tries": 1,
    "data.targets.shrink_ratio": 0,
    "data.targets.min_text_size": 0,
    "eval.every_steps": 0,
    "eval.every_epochs": 0,
    "eval.batch_size": 1,
    "eval.limit_side": 32,
    "eval.patience": 0,
    "eval.patience_min_steps": 0,
    "eval.pictures": 0,
    "mesh.devices": 0,
    "postprocess.max_candidates": 1,
    "postprocess.unclip_ratio": 0,
    "optimizer.eps": 0,
    "optimizer.l2": 0,
    "save.every_steps": 0,
    "log.every_steps": 1,
    "log.pictures": 0,
}
# A config may come from somebody else, with weights, or be damaged. What it asks for beyond these
# is no training of a text detector, and would fill memory, disk or days before anybody noticed.
AT_MOST = {
    "seed": 2**32 - 1,  # what every generator of random numbers takes
    "data.draw.seed": 2**32 - 1,
    "steps": 2**31 - 2,  # a state counts them in 32 bits
    "epochs": 10**6,
    "warmup_epochs": 10**6,
    "warmup_steps": 2**31 - 2,
    "batch_size": 2**16,
    "accumulate": 2**16,
    "average.decay": 0.99999,
    "average.share": 1,
    "crop": MOST_SIDE,
    "data.workers": 512,  # each is a process of 260 MB
    "data.prefetch_mb": 2**20,
    "data.draw.train": 10**6,
    "data.draw.val": 10**6,
    "data.draw.side": MOST_SIDE,
    "data.augment.crop_tries": 10**4,
    "data.targets.shrink_ratio": 1,
    "data.targets.min_text_size": MOST_SIDE,
    "eval.batch_size": 2**8,
    "eval.limit_side": MOST_SIDE,
    "eval.shared_shapes": 2**10,  # a larger multiple only fills memory with padding
    "eval.pictures": 1000,
    "log.pictures": 100,
    "mesh.devices": 2**16,
    "postprocess.max_candidates": 10**5,
    "postprocess.unclip_ratio": 100,
}
SHARES = (  # 0 to 1: probabilities, thresholds of maps, decays of moments
    "postprocess.thresh", "postprocess.box_thresh", "data.max_bad_share", "data.augment.flip",
    "data.augment.paste_ratio", "data.augment.min_crop_side", "data.targets.thresh_min",
    "data.targets.thresh_max", "optimizer.b1", "optimizer.b2", "eval.patience_min_gain",
)  # fmt: skip
PARTS = ("backbone", "neck", "head")  # of a network
MOST_ROLES = 16  # networks of one run; each is held in memory
MEANING = {  # said beside a limit or a list of names, where a number alone would puzzle
    "dtype": " (float16 overflows here)",
    "average.decay": " (0: no average)",
    "steps": " (0: by epochs)",
    "batch_size": " (0: the largest that fits)",
    "eval.every_steps": " (0: never, but at the end)",
    "eval.every_epochs": " (0: never, but at the end)",
    "save.every_steps": " (0: never, but at the end)",
    "data.workers": " (-1: chosen by what there is)",
    "data.prefetch_mb": " (-1: chosen by what there is)",
    "eval.limit_side": " pixels",
    "eval.patience": " (0: the run goes on whatever is found)",
    "time_limit_minutes": " (0: no limit)",
}

# Keys that change nothing of what is learned, or no more than another device does: a resumed run
# may set them anew.
FREE_ON_RESUME = (
    "data.root", "data.workers", "data.prefetch_mb", "data.max_bad_share", "eval.", "save.",
    "log.", "mesh.", "postprocess.", "best.role", "init_from.", "remat", "average.",
    "time_limit_minutes", "precision",
)  # fmt: skip
# Of these, keys that a run settles anew at each start, and says how: -1 is no change.
CHOSEN = ("data.workers", "data.prefetch_mb")
# Keys that a resumed run goes on with in a new segment of the rate, see `training.segments`.
NEW_SEGMENT = ("steps", "epochs", "learning_rate", "warmup_epochs", "warmup_steps")


def one_of(names):
    """`a or b`, or `a, b, c`: a list of choices as help texts and errors write it."""
    return (" or " if len(names) == 2 else ", ").join(names)


def check(config):
    """Refuses values that no run can use.

    Raises:
        UserError: names the key, its value and what it may be.
    """
    values = flatten(plain(config))

    def need(key, good, wanted):
        if not good:
            raise UserError(f"config.{key}={values.get(key)}: should be {wanted}")

    for key, value in values.items():
        need(key, _is_finite(value), "finite")
    for key, least in AT_LEAST.items():
        need(key, values[key] >= least, f"at least {least}{MEANING.get(key, '')}")
    for key, most in AT_MOST.items():
        need(key, values[key] <= most, f"at most {most}")
    for key in SHARES:
        need(key, 0 <= values[key] <= 1, "from 0 to 1")
    for key, names in NAMES.items():
        need(key, values[key] in names, one_of(names) + MEANING.get(key, ""))
    need("crop", config.crop >= 32 and config.crop % 32 == 0, "a multiple of 32")
    scales = config.data.augment.scale
    need("data.augment.scale", all(0 < scale <= 100 for scale in scales), "above 0, at most 100")
    shared = config.eval.shared_shapes
    need("eval.shared_shapes", shared >= 0 and shared % 32 == 0, "0 or a multiple of 32")
    known = all(name in WRITERS for name in config.log.writers)
    need("log.writers", known, f"any of {WRITERS}, as ('tensorboard',), or () for none")
    _check_roles(config, need)


def _is_finite(value):
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _check_roles(config, need):
    roles = tuple(config.roles)
    if len(roles) > MOST_ROLES:
        raise UserError(f"config.roles holds {len(roles)} networks: should be {MOST_ROLES} at most")
    for role in roles:
        for part, table in zip(PARTS, (BACKBONES, NECKS, HEADS), strict=True):
            need(f"roles.{role}.{part}.name", config.roles[role][part].name in table, one_of(table))
    averages.check(config)
    named = list(config.trainable) + list(config.loss.labels)
    pairs = weighted_pairs(config.loss.mutual) + weighted_pairs(config.loss.teacher)
    for pair in pairs:
        named += pair[:2]
    own = averages.networks(config)
    unknown = [role for role in named if role not in own]
    unknown += [role for role in [config.best.role] if role not in roles]
    if unknown:
        raise UserError(f"config: role {unknown[0]} is not among roles {', '.join(own)}")
    alone = [pair[0] for pair in pairs if pair[0] == pair[1]]
    if alone:
        raise UserError(f"config.loss: a pair is two roles, not twice {alone[0]}")
    if not pairs and not config.loss.labels:
        raise UserError("config.loss: labels, mutual and teacher are empty: nothing is learned")
    need("trainable", len(config.trainable) > 0, f"one or more of {', '.join(roles)}")
    frozen_parts(config)


def frozen_parts(config):
    """What `config.freeze` names: `{role: parts}`, of the networks that learn.

    A name may be several, separated by commas, as `--config.freeze=backbone,neck` gives them.

    Raises:
        UserError: no such part, a network that does not learn, or one of which nothing would.
    """
    frozen = {}
    for name in filter(None, ",".join(config.freeze).replace(" ", "").split(",")):
        role, _, part = name.rpartition(".")
        if part not in PARTS or (role or config.trainable[0]) not in config.trainable:
            raise UserError(
                f"config.freeze={name}: should be {one_of(PARTS)}, or such a part of one of the "
                f"networks that learn ({', '.join(config.trainable)}), as in "
                f"{config.trainable[0]}.backbone"
            )
        for one in [role] if role else config.trainable:
            frozen[one] = tuple(p for p in PARTS if p == part or p in frozen.get(one, ()))
    whole = [role for role, parts in frozen.items() if parts == PARTS]
    if whole:
        raise UserError(
            f"config.freeze: nothing of {whole[0]} would learn: leave it out of config.trainable"
        )
    return frozen


def describe_rate(config):
    """One line: global batch, rate, and rates that are known to work.

    Between the batches of `TUNED` it says a rate on the straight line through both logarithms:
    with the cube root of the batch, far from the linear scaling that is often advised.
    """
    (small, low), (large, high) = TUNED
    here, between = config.batch_size, ""
    if small < here < large:
        slope = math.log(high / low) / math.log(large / small)
        between = f", which lets expect about {low * (here / small) ** slope:.2g} here"
    return (
        f"global batch {here}, learning rate {config.learning_rate:g}; known to fine-tune the "
        f"published student: {low:g} at batch {small}, {high:g} at {large}{between}; published for "
        "training from ImageNet weights: 0.001 at 64"
    )


def record(config):
    """What is saved of a config: its plain form, with the version of that form."""
    return {"form": FORM, **plain(config)}


def save(config, path):
    """Writes the record of a config as JSON, replacing what was there in one move."""
    files.write_json(path, record(config))


def compare_for_resume(config, saved):
    """Lines on the config that a workdir was made with: its upgrade, and `key: old -> new`.

    Args:
        config: of the run that goes on.
        saved: tree of the workdir's `config.json`, of any form.

    Raises:
        UserError: a key differs whose change would make the continued run something else.
    """
    saved, upgraded = upgrade(saved)
    old, new = flatten(saved), flatten(upgrade(plain(config), "config")[0])
    keys = [key for key in sorted({*old, *new}) if not _is_of_average(key)]
    keys = [key for key in keys if not (key in CHOSEN and new[key] == -1)]
    changed = [key for key in keys if old.get(key) != new.get(key)]
    lines = {key: f"config.{key}: {old.get(key)} -> {new.get(key)}" for key in changed}
    refused = [key for key in changed if not (key.startswith(FREE_ON_RESUME) or key in NEW_SEGMENT)]
    if refused:
        raise UserError(
            f"the workdir holds a run of another config ({'; '.join(lines[k] for k in refused)}): "
            "take another --workdir, with --config.init_from... to start from these weights"
        )
    started = " (no effect: the run goes on from its own state)"
    differences = [
        f"changed since the run began: {line}{started * key.startswith('init_from.')}"
        for key, line in lines.items()
    ]
    return [*(f"config.json: {line}" for line in upgraded), *differences]


def _is_of_average(key):
    """Whether a key is of the network of an average, which follows from `average.decay`."""
    return key.startswith("roles.") and averages.is_average(key.split(".")[1])
