"""PaddleOCR's `Global`, `Optimizer`, `PostProcess` and `Metric` -> the rest of a config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from ppocr_jax.paddle_config.ledger import (
    Conversion,
    Section,
    as_bool,
    as_number,
    set_at,
    show,
)

OPTIMISERS = {"Adam": "adam"}  # PaddleOCR's name: ours, in optim.OPTIMISERS
MAX_SAVE_STEPS = 2000  # updates between checkpoints, however rare evaluations are: lost by a crash


def read_global(conversion: Conversion, cards: int) -> str | None:
    """Reads epochs, seed, evaluation, records and precision.

    Args:
        conversion: that is filled.
        cards: see `conversion.convert`.

    Returns:
        The folder that the file names for the run, or None.
    """
    section = conversion.section("Global")
    section.put("epoch_num", "epochs")
    section.put("seed", "seed")
    section.put("print_batch_step", "log.every_steps")
    _read_evaluations(section)
    _read_precision(section)
    _read_norm(section, cards)
    section.drop(
        "save_epoch_step",
        "the best and the latest checkpoint are kept, none per epoch; the latest is written every "
        f"save.every_steps={conversion.config.save.every_steps} updates and at evaluations",
    )
    section.drop("log_smooth_window", "a record holds means over log.every_steps updates")
    for name, otherwise in (
        ("cal_metric_during_train", "training batches are not scored"),
        ("use_wandb", "records go to metrics.jsonl and TensorBoard events"),
    ):
        if section.get(name):
            section.drop(name, otherwise)
        section.ignore(name, otherwise)
    for name in ("image_shape", "limit_side_len", "limit_type", "resize_long"):
        section.drop(name, "set it at DetResizeForTest in Eval.dataset.transforms")
    workdir = section.get("save_model_dir")
    section.carry("save_model_dir", "--workdir of the command")
    return show(workdir) if workdir else None


def _read_evaluations(section: Section) -> None:
    """When to evaluate: by updates, `[start, every]` or `every`, or by epochs."""
    config = section.conversion.config
    section.put("eval_batch_epoch", "eval.every_epochs")
    value = section.get("eval_batch_step")
    if isinstance(value, list) and len(value) >= 2:
        steps = section.split("eval_batch_step")
        steps.put(1, "eval.every_steps")
        try:
            late = as_number(value[0]) != 0
        except ValueError:
            late = True
        if late:
            steps.drop(0, "evaluations are counted from the first update on")
        steps.carry(0, "built in")
    else:
        section.put("eval_batch_step", "eval.every_steps")
    config.save.every_steps = min(config.eval.every_steps or MAX_SAVE_STEPS, MAX_SAVE_STEPS)


def _read_precision(section: Section) -> None:
    """`dtype`: bfloat16 where mixed precision uses it. float16 overflows in these networks."""
    used, kind = section.get("use_amp", False), section.get("amp_dtype", "float16")
    if not _is_true(used):
        section.carry("use_amp", "dtype = float32")
        section.ignore("amp_dtype", "use_amp is off")
    elif kind == "bfloat16":
        section.conversion.config.dtype = "bfloat16"
        section.carry("use_amp", "dtype")
        section.carry("amp_dtype", "dtype")
    else:
        reason = f"{kind} overflows here: dtype stays float32; --config.dtype=bfloat16 is safe"
        section.drop("use_amp", reason)
        section.drop("amp_dtype", reason)


def _read_norm(section: Section, cards: int) -> None:
    """Whether batch norm uses the batch of one card or of all; it matters with several cards."""
    if "use_sync_bn" in section:
        per_card = cards > 1 and not _is_true(section.get("use_sync_bn"))
        section.conversion.config.norm_scope = "device" if per_card else "global"
        section.carry("use_sync_bn", "norm_scope")
    elif cards > 1:
        section.conversion.notes.append(
            "PaddleOCR applies batch norm and losses to each card's batch; here both use the whole "
            "batch, unless --config.norm_scope=device"
        )


def _is_true(value: Any) -> bool:
    try:
        return as_bool(value)
    except ValueError:
        return False


def read_optimizer(conversion: Conversion) -> None:
    """Reads the optimiser, Adam with coupled L2, and the learning rate."""
    section, config = conversion.section("Optimizer"), conversion.config
    if "Optimizer" not in conversion.tree:
        conversion.notes.append("Optimizer is missing: this project's own values are used")
        return
    section.put("name", "optimizer.name", change=_optimiser)
    for name, key in (("beta1", "b1"), ("beta2", "b2"), ("epsilon", "eps")):
        section.put(name, f"optimizer.{key}")
    lr = section.sub("lr")
    if lr.get("name") != "Cosine":
        conversion.notes.append(
            f"the learning rate is {lr.get('name', 'constant')} in PaddleOCR; here it warms up "
            "over warmup_epochs and falls along a half cosine"
        )
    lr.expect("name", ("Cosine",), "the learning rate falls along a half cosine")
    lr.put("learning_rate", "learning_rate")
    lr.put("warmup_epoch", "warmup_epochs", absent=0.0)
    _read_decay(section, config)


def _optimiser(name: Any) -> str:
    """Our name for PaddleOCR's. Raises ValueError where there is none."""
    if not isinstance(name, str) or name not in OPTIMISERS:
        raise ValueError(f"optimisers here are {', '.join(OPTIMISERS)}")
    return OPTIMISERS[name]


def _read_decay(section: Section, config: ConfigDict) -> None:
    """`optimizer.l2`, from a regularizer or from PaddleOCR's number `weight_decay`."""
    # Despite its name, that number is coupled L2 with PaddleOCR's Adam as well.
    decay = section.sub("regularizer")
    if decay.tree and decay.get("name") not in ("L2", "L2Decay", None):
        set_at(config, "optimizer.l2", 0.0)
        reason = "L2 is the only decay here, and none is set (optimizer.l2=0)"
        decay.drop("name", reason)
        decay.drop("factor", reason)
    elif decay.tree:
        decay.carry("name", "optimizer.l2")
        decay.put("factor", "optimizer.l2", absent=0.0)
    else:
        section.carry("regularizer", "optimizer.l2 = 0.0")
        section.put("weight_decay", "optimizer.l2", absent=0.0)
    for name in ("clip_norm", "clip_norm_global"):
        section.drop(name, "gradients are not clipped")


def read_postprocess(conversion: Conversion, distils: bool) -> None:
    """Reads the thresholds and the shape of boxes.

    Args:
        conversion: that is filled.
        distils: whether the config has several networks.
    """
    section = conversion.section("PostProcess")
    # Defaults of DistillationDBPostProcess and of DBPostProcess in PaddleOCR.
    box_thresh, unclip_ratio = (0.6, 1.5) if distils else (0.7, 2.0)
    names = ("DBPostProcess", "DistillationDBPostProcess")
    section.expect("name", names, "boxes are found as in DB")
    section.put("thresh", "postprocess.thresh")
    section.put("box_thresh", "postprocess.box_thresh", absent=box_thresh)
    section.put("max_candidates", "postprocess.max_candidates")
    section.put("unclip_ratio", "postprocess.unclip_ratio", absent=unclip_ratio)
    for name in ("use_dilation", "score_mode", "box_type"):
        section.put(name, f"postprocess.{name}")


def read_metric(conversion: Conversion, roles: Mapping[str | None, str]) -> None:
    """Reads the metric and the network by which the best checkpoint is chosen.

    Args:
        conversion: that is filled.
        roles: see `networks.read_networks`.
    """
    section, config = conversion.section("Metric"), conversion.config
    section.expect("name", ("DetMetric", "DistillationMetric"), "ICDAR 2015's hmean is measured")
    section.expect("base_metric_name", ("DetMetric",), "ICDAR 2015's hmean is measured")
    section.expect(
        "main_indicator", ("hmean",), "the best checkpoint is the one with the highest hmean"
    )
    role = roles.get(str(section.get("key")))
    if role in config.trainable:
        config.best.role = role
        section.carry("key", "best.role")
    else:
        section.drop(
            "key",
            f"is not a trained network; best.role={config.best.role} chooses the best checkpoint",
        )
