"""What a run says and records of itself: at its start, and every few updates."""

import dataclasses

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
    frozen = [f"{role}.{part}" for role, parts in setup.frozen.items() for part in parts]
    still = f"; frozen: {', '.join(frozen)}" * bool(frozen)
    lines = [
        f"ppocr_jax {__version__}: {learning} on {devices}, {len(training.samples)} training and "
        f"{len(validation)} validation images",
        configs.describe_rate(config),
        f"optimizer state {slots / 2**20:.1f} MiB, of {learning} alone{still}",
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
        "segments": [dataclasses.asdict(segment) for segment in begun.progress.segments],
        "notes": notes,
    })  # fmt: skip


def record_updates(log, progress, meter, setup, training, skipped):
    """One line and one record: means over the updates since the last one.

    Args:
        log: `RunLog`.
        progress: `Progress`.
        meter: `Meter`; begins a new record.
        setup: `start.Setup`.
        training: `data.training_split.Training`.
        skipped: number of training records that could not be used so far.
    """
    losses, figures = meter.take(setup.config.batch_size)
    step = progress.step
    rate = progress.segment(step - 1)
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


def say_the_end(log, progress, ending, workdir):
    """How far the run came, why it ends, and what would take it further.

    Args:
        log: `RunLog`.
        progress: `Progress`.
        ending: `limits.Ending`; an empty one at the last step.
        workdir: folder of the run.
    """
    step, segment = progress.step, progress.segment
    best = f"best hmean {progress.best['hmean']:.4f} at step {progress.best['step']}, in {workdir}"
    if step < segment.end:
        log.say(f"ended at step {step} of {segment.end}: {ending.why}; {best}")
        log.say(
            f"the same command with {ending.remedy} goes on from there; with another "
            "--config.steps or --config.learning_rate it begins a new cosine"
        )
        return
    log.say(f"done: {step} steps, {best}")
    log.say(
        f"to train it further: the same command with --config.steps={2 * step}, at rate "
        f"{segment(step - 1):.3g}, where it stands, or at --config.learning_rate=RATE"
    )
