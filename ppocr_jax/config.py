"""A run's config: checks its values, saves it, and says what a resumed run may change."""

import math
import os
from collections.abc import Callable, Collection
from typing import Any

import ml_collections

from ppocr_jax import averages, files
from ppocr_jax.data import RESIZE_RULES, STREAMS
from ppocr_jax.errors import UserError
from ppocr_jax.forms import FORM, flatten, plain, upgrade
from ppocr_jax.losses import MAIN_LOSSES, MUTUAL_ACTS
from ppocr_jax.losses.pairs import weighted_pairs
from ppocr_jax.models import BACKBONES, DTYPES, HEADS, NECKS, PRECISIONS
from ppocr_jax.optim import OPTIMISERS
from ppocr_jax.writers import WRITERS

MOST_SIDE = 8192  # pixels of an image or a crop; one float32 map of that size takes 256 MiB
TUNED = ((4, 1e-3), (32, 2e-3))  # (batch, learning rate) that fine-tuned the published student well

NAMES = {  # key: allowed names; the names of functions come from the tables of the rooms
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
AT_LEAST = {  # key: smallest allowed value
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
    "loss.alpha": 0,
    "loss.beta": 0,
    "loss.negative_ratio": 0,
    "optimizer.eps": 0,
    "optimizer.l2": 0,
    "save.every_steps": 0,
    "log.every_steps": 1,
    "log.pictures": 0,
}
# A config may be damaged, or come from someone else along with weights. No training of a text
# detector needs more than this; beyond it a run would fill memory, disk or days unnoticed.
AT_MOST = {
    "seed": 2**32 - 1,  # the largest that every random number generator takes
    "data.draw.seed": 2**32 - 1,
    "steps": 2**31 - 2,  # a state counts steps in int32
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
    "eval.shared_shapes": 2**10,  # a larger multiple only adds padding
    "eval.pictures": 1000,
    "log.pictures": 100,
    "mesh.devices": 2**16,
    "postprocess.max_candidates": 10**5,
    "postprocess.unclip_ratio": 100,
}
SHARES = (  # 0 to 1: probabilities, thresholds of maps, decays of moments
    "postprocess.thresh", "postprocess.box_thresh", "data.max_bad_share", "data.augment.flip",
    "data.augment.paste_ratio", "data.augment.min_crop_side", "data.targets.thresh_min",
    "data.targets.thresh_max", "loss.teacher_thresh", "optimizer.b1", "optimizer.b2",
    "eval.patience_min_gain",
)  # fmt: skip
PARTS = ("backbone", "neck", "head")  # of a network
MOST_ROLES = 16  # networks of one run; each is held in memory
MEANING = {  # added to messages about a limit where the number alone would puzzle
    "dtype": " (float16 overflows here)",
    "average.decay": " (0: no average)",
    "steps": " (0: by epochs)",
    "batch_size": " (0: the largest that fits)",
    "eval.every_steps": " (0: only at the end)",
    "eval.every_epochs": " (0: only at the end)",
    "save.every_steps": " (0: only at evaluations)",
    "data.workers": " (-1: automatic)",
    "data.prefetch_mb": " (-1: automatic)",
    "eval.limit_side": " pixels",
    "eval.patience": " (0: no early stopping)",
    "time_limit_minutes": " (0: no limit)",
}

# Keys that do not affect what is learned, or no more than another device would: a resumed run may
# change them.
FREE_ON_RESUME = (
    "data.root", "data.workers", "data.prefetch_mb", "data.max_bad_share", "eval.", "save.",
    "log.", "mesh.", "postprocess.", "best.role", "init_from.", "remat", "average.",
    "time_limit_minutes", "precision",
)  # fmt: skip
# Of these, keys that each start may choose itself: going back to -1 is no change.
CHOSEN = ("data.workers", "data.prefetch_mb")
# Keys that start a new segment of the learning rate schedule, see `training.segments`.
NEW_SEGMENT = ("steps", "epochs", "learning_rate", "warmup_epochs", "warmup_steps")


def one_of(names: Collection[str]) -> str:
    """Formats a list of choices for help texts and errors: `a or b`, or `a, b, c`."""
    return (" or " if len(names) == 2 else ", ").join(names)


def check(config: ml_collections.ConfigDict) -> None:
    """Checks every value of a config.

    Raises:
        UserError: a value that no run can use; names the key, the value and what is allowed.
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


def _check_roles(config: ml_collections.ConfigDict, need: Callable[[str, bool, str], None]) -> None:
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
        raise UserError(f"config: role {unknown[0]} is not one of the roles {', '.join(own)}")
    alone = [pair[0] for pair in pairs if pair[0] == pair[1]]
    if alone:
        raise UserError(f"config.loss: a pair needs two different roles, not {alone[0]} twice")
    if not pairs and not config.loss.labels:
        raise UserError("config.loss: labels, mutual and teacher are empty: nothing is learned")
    need("trainable", len(config.trainable) > 0, f"one or more of {', '.join(roles)}")
    frozen_parts(config)


def frozen_parts(config: ml_collections.ConfigDict) -> dict[str, tuple[str, ...]]:
    """The frozen parts of trainable networks by role, from `config.freeze`.

    An entry may hold several names with commas between, as `--config.freeze=backbone,neck` does.

    Raises:
        UserError: no such part, a network that is not trainable, or all parts of one are frozen.
    """
    frozen: dict[str, tuple[str, ...]] = {}
    for name in filter(None, ",".join(config.freeze).replace(" ", "").split(",")):
        role, _, part = name.rpartition(".")
        if part not in PARTS or (role or config.trainable[0]) not in config.trainable:
            raise UserError(
                f"config.freeze={name}: should be {one_of(PARTS)}, or a part of one of the "
                f"trainable networks ({', '.join(config.trainable)}), such as "
                f"{config.trainable[0]}.backbone"
            )
        for one in [role] if role else config.trainable:
            frozen[one] = tuple(p for p in PARTS if p == part or p in frozen.get(one, ()))
    whole = [role for role, parts in frozen.items() if parts == PARTS]
    if whole:
        raise UserError(
            f"config.freeze: all of {whole[0]} is frozen: remove it from config.trainable instead"
        )
    return frozen


def describe_rate(config: ml_collections.ConfigDict) -> str:
    """One line with the global batch, the learning rate, and rates that are known to work.

    Between the two batches of `TUNED` it interpolates on a log-log scale: the rate grows with the
    cube root of the batch, far less than the linear scaling that is often advised.
    """
    (small, low), (large, high) = TUNED
    here, between = config.batch_size, ""
    if small < here < large:
        slope = math.log(high / low) / math.log(large / small)
        between = f", which suggests about {low * (here / small) ** slope:.2g} here"
    return (
        f"global batch {here}, learning rate {config.learning_rate:g}; known to fine-tune the "
        f"published student: {low:g} at batch {small}, {high:g} at {large}{between}; published for "
        "training from ImageNet weights: 0.001 at 64"
    )


def record(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """The saved form of a config: nested dicts, with the version of the form."""
    return {"form": FORM, **plain(config)}


def save(config: ml_collections.ConfigDict, path: str | os.PathLike[str]) -> None:
    """Writes the record of a config as JSON, replacing an existing file atomically."""
    files.write_json(path, record(config))


def compare_for_resume(config: ml_collections.ConfigDict, saved: dict[str, Any]) -> list[str]:
    """Compares a config with that of the run to be resumed.

    Args:
        config: of this start.
        saved: tree of the workdir's `config.json`, of any form.

    Returns:
        Lines on the upgrade of the saved config, and on each key that changed: `key: old -> new`.

    Raises:
        UserError: a key differs that may not change during a run.
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
            f"the workdir holds a run with another config ({'; '.join(lines[k] for k in refused)})"
            ": use another --workdir, with --config.init_from... to start from these weights"
        )
    started = " (no effect: the run continues from its own state)"
    differences = [
        f"changed since the run began: {line}{started * key.startswith('init_from.')}"
        for key, line in lines.items()
    ]
    return [*(f"config.json: {line}" for line in upgraded), *differences]


def _is_of_average(key):
    """Whether a key belongs to the network of an average, which `average.decay` implies."""
    return key.startswith("roles.") and averages.is_average(key.split(".")[1])
