"""A config as a run sees it: checked values, its plain form for JSON, what a resume may change."""

import json

from etils import epath

from ppocr_jax.errors import UserError
from ppocr_jax.losses.pairs import weighted_pairs
from ppocr_jax.models.detector import DTYPES

PUBLISHED_BATCH = 64  # 8 devices x 8 samples: what the published rates are meant for

# Keys that change nothing of what is learned: a resumed run may set them anew.
FREE_ON_RESUME = (
    "data.root", "data.workers", "data.prefetch_mb", "data.max_bad_share", "eval.", "save.",
    "log.", "mesh.", "postprocess.", "best.role", "init_from.", "remat",
)  # fmt: skip


def plain(config):
    """The config as nested dicts of JSON's types; tuples become lists."""
    return json.loads(config.to_json())


def flatten(tree, prefix=""):
    """`{"data.root": ...}` from nested dicts."""
    flat = {}
    for key, value in tree.items():
        nested = isinstance(value, dict) and value
        flat.update(flatten(value, f"{prefix}{key}.") if nested else {prefix + key: value})
    return flat


def save(config, path):
    """Writes the plain form of a config as JSON, replacing what was there in one move."""
    path = epath.Path(path)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(plain(config), indent=1) + "\n")
    temporary.replace(path)


def check(config):
    """Refuses values that no run can use.

    Raises:
        UserError: names the key, its value and what it may be.
    """

    def need(key, good, wanted):
        if not good:
            raise UserError(f"config.{key}={flatten(plain(config)).get(key)}: should be {wanted}")

    need("crop", config.crop >= 32 and config.crop % 32 == 0, "a multiple of 32")
    for key in ("batch_size", "epochs"):
        need(key, config[key] >= 1, "at least 1")
    need("steps", config.steps >= 0, "0 (by epochs) or a number of updates")
    need("learning_rate", config.learning_rate >= 0, "at least 0")
    need("warmup_epochs", config.warmup_epochs >= 0, "at least 0")
    need("dtype", config.dtype in DTYPES, "float32 or bfloat16 (float16 overflows here)")
    need("data.last_batch", config.data.last_batch in ("fill", "drop"), "fill or drop")
    need("data.workers", config.data.workers >= 0, "at least 0")
    need("loss.main", config.loss.main in ("dice", "bce", "mask_l1"), "dice, bce or mask_l1")
    need("loss.total", config.loss.total in ("sum", "mean"), "sum or mean")
    acts = ("none", "softmax", "sigmoid")
    need("loss.mutual_act", config.loss.mutual_act in acts, ", ".join(acts))
    need("norm_scope", config.norm_scope in ("global", "device"), "global or device")
    need("accumulate", config.accumulate >= 1, "at least 1")
    need("frozen_norm", config.frozen_norm in ("batch", "stored"), "batch or stored")
    for key in ("eval.every_steps", "eval.every_epochs", "save.every_steps"):
        section, name = key.split(".")
        need(key, config[section][name] >= 0, "at least 0 (0: never, but at the end)")
    need("log.every_steps", config.log.every_steps >= 1, "at least 1")
    need("eval.batch_size", config.eval.batch_size >= 1, "at least 1")
    need("eval.limit_side", config.eval.limit_side >= 32, "at least 32 pixels")
    limits = ("min", "max", "resize_long")
    need("eval.limit_type", config.eval.limit_type in limits, ", ".join(limits))
    shared = config.eval.shared_shapes
    need("eval.shared_shapes", shared >= 0 and shared % 32 == 0, "0 or a multiple of 32")
    post = config.postprocess
    need("postprocess.score_mode", post.score_mode in ("fast", "slow"), "fast or slow")
    need("postprocess.box_type", post.box_type in ("quad", "poly"), "quad or poly")
    _check_roles(config, need)


def _check_roles(config, need):
    roles = tuple(config.roles)
    named = list(config.trainable) + list(config.loss.labels) + [config.best.role]
    for pair in weighted_pairs(config.loss.mutual) + weighted_pairs(config.loss.teacher):
        named += pair[:2]
    unknown = [role for role in named if role not in roles]
    if unknown:
        raise UserError(f"config: role {unknown[0]} is not among roles {', '.join(roles)}")
    need("trainable", len(config.trainable) > 0, f"one or more of {', '.join(roles)}")


def compare_for_resume(config, saved):
    """Lines `key: old -> new` of what differs from the config that a workdir was made with.

    Raises:
        UserError: a key differs whose change would make the continued run something else.
    """
    old, new = flatten(saved), flatten(plain(config))
    changed = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    lines = {key: f"config.{key}: {old.get(key)} -> {new.get(key)}" for key in changed}
    refused = [key for key in changed if not key.startswith(FREE_ON_RESUME)]
    if refused:
        raise UserError(
            f"the workdir holds a run of another config ({'; '.join(lines[k] for k in refused)}): "
            "take another --workdir, with --config.init_from... to start from these weights"
        )
    started = " (no effect: the run goes on from its own state)"
    return [line + started * key.startswith("init_from.") for key, line in lines.items()]


def describe_rate(config):
    """One line: global batch, rate, and the published rate scaled linearly to this batch."""
    scaled = 1e-3 * config.batch_size / PUBLISHED_BATCH
    return (
        f"global batch {config.batch_size}, learning rate {config.learning_rate:g}; linear "
        f"scaling from the published {PUBLISHED_BATCH} at 0.001 would give {scaled:g}"
    )
