"""What a run says and records of itself: at its start, and every few updates."""

import jax

from ppocr_jax import __version__
from ppocr_jax import config as configs
from ppocr_jax.training.records import format_duration, format_losses


def announce(log, setup, training, validation, begun, notes, evaluations, first):
    """What the run is going to do, in lines and as the record `start`.

    Args:
        log: `RunLog`.
        setup: `start.Setup`.
        training: `data.training_split.Training`.
        validation: list of labelled images.
        begun: `start.Start`.
        notes: lines on how the run began.
        evaluations: how many are to come.
        first: whether one of them comes before any update.
    """
    config, device = setup.config, jax.devices()[0]
    devices = f"{setup.mesh.size} x {device.device_kind}"
    learning = ", ".join(config.trainable)
    slots = sum(leaf.nbytes for leaf in jax.tree.leaves(begun.state.opt_state))
    lines = [
        f"ppocr_jax {__version__}: {learning} on {devices}, {len(training.samples)} training and "
        f"{len(validation)} validation images",
        configs.describe_rate(config),
        f"optimizer state {slots / 2**20:.1f} MiB, of {learning} alone",
        f"{training.total_steps} steps, {training.epoch_steps} per epoch; {evaluations} "
        f"evaluations to come{', one of them now' * first}",
        *training.notes,
        *notes,
    ]
    for line in lines:
        log.say(line)
    log.record("start", begun.progress.step, {
        "version": __version__,
        "jax": jax.__version__,
        "devices": devices,
        "processes": jax.process_count(),
        "optimizer_bytes": slots,
        "weights": {role: str(report) for role, report in begun.reports.items()},
        "initial": begun.initial,
        "notes": notes,
    })  # fmt: skip


def record_updates(log, step, meter, setup, training, skipped):
    """One line and one record: means over the updates since the last one.

    Args:
        log: `RunLog`.
        step: updates done.
        meter: `Meter`; begins a new record.
        setup: `start.Setup`.
        training: `data.training_split.Training`.
        skipped: number of training records that could not be used so far.
    """
    losses, figures = meter.take(setup.config.batch_size)
    rate = setup.segment(step - 1)
    epoch = (step - 1) // training.epoch_steps + 1
    left = (training.total_steps - step) * figures.pop("seconds_per_step")
    log.say(
        f"step {step}/{training.total_steps} epoch {epoch} rate {rate:.3g}: "
        f"{format_losses(losses)}; {figures['images_per_s']:.2f} images/s, waiting "
        f"{figures['waiting_share']:.0%}, eta {format_duration(left)}"
    )
    log.record("train", step, {
        "epoch": epoch,
        "learning_rate": rate,
        **losses,
        **figures,
        "bad_records": skipped,
    })  # fmt: skip
    if figures["textless_share"] == 1.0:
        log.say(
            "warning: no crop since the last record has text to learn from: words may be "
            "smaller than data.targets.min_text_size after scaling, ignored (*, ###), or "
            "unlabelled; check_data counts them"
        )
