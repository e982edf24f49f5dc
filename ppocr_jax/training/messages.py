"""What a run says and records of itself: at its start, and every few updates."""

import dataclasses

import jax

from ppocr_jax import __version__, averages
from ppocr_jax import config as configs
from ppocr_jax.errors import counted
from ppocr_jax.models.precision import describe_precision
from ppocr_jax.training.forecast import describe_course, evaluation_seconds
from ppocr_jax.training.records import format_duration, format_losses
from ppocr_jax.training.standing import describe_best

ENOUGH_CROPS = 40  # to tell a share of them
MANY_TEXTLESS = 0.2


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
        f"{counted(len(validation), 'validation image')}",
        configs.describe_rate(config),
        *describe_course(begun.progress.segment, config, begun.progress.step),
        *averages.describe(config),
        *filter(None, [describe_precision(config.precision, config.dtype)]),
        f"optimizer state {slots / 2**20:.1f} MiB, of {learning} alone{still}",
        f"{counted(training.total_steps, 'step')}, {training.epoch_steps} per epoch; "
        f"{counted(evaluations, 'evaluation')} to come{', one of them now' * first}",
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


def record_updates(log, progress, meter, setup, training, forecast, step, to_come, skipped):
    """One line and one record: means over the updates since the last one.

    Args:
        log: `RunLog`.
        progress: `Progress`, which takes note of it.
        meter: `Meter`; begins a new record.
        setup: `start.Setup`.
        training: `data.training_split.Training`.
        forecast: `Forecast`, which takes note of the time.
        step: number of the last of these updates; the next one may be under way.
        to_come: evaluations that follow it.
        skipped: number of training records that could not be used so far.
    """
    losses, figures = meter.take(setup.config.batch_size)
    progress.note_record(step, losses, figures["textless_share"])
    rate = progress.segment(step - 1)
    epoch = (step - 1) // training.epoch_steps + 1
    step_s = figures.pop("seconds_per_step")
    left = training.total_steps - step
    eta = left * step_s + to_come * evaluation_seconds(progress.metrics)
    log.say(
        f"step {step}/{training.total_steps} epoch {epoch} rate {rate:.3g}: "
        f"{format_losses(losses)}; {figures['images_per_s']:.2f} images/s, waiting "
        f"{figures['waiting_share']:.0%}, eta {format_duration(eta)}"
    )
    log.record("train", step, {
        "epoch": epoch,
        "learning_rate": rate,
        **losses,
        **figures,
        "bad_records": skipped,
    })  # fmt: skip
    warn_of_textless(log, meter, figures["textless_share"], setup.config)
    forecast.measured(step_s, left, to_come, progress.metrics)


def warn_of_textless(log, meter, share, config):
    """Says that crops have no text to learn from: all since the last record, or many so far.

    Args:
        log: `RunLog`.
        meter: `Meter`.
        share: of the crops since the last record.
        config: a whole config.
    """
    crops, textless = meter.crops
    if share == 1.0:
        many = "no crop since the last record has"
    elif not meter.warned and crops >= ENOUGH_CROPS and textless >= MANY_TEXTLESS * crops:
        many = f"{textless} of {crops} crops so far ({textless / crops:.0%}) do not have"
    else:
        return
    meter.warned = True
    log.say(
        f"warning: {many} text to learn from: words may be smaller than "
        f"data.targets.min_text_size={config.data.targets.min_text_size} once they are scaled "
        f"into crops of {config.crop} pixels, ignored (*, ###), or unlabelled; check_data counts "
        "them"
    )


def say_the_end(log, progress, ending, workdir, role):
    """How far the run came, why it ends, and what would take it further.

    Args:
        log: `RunLog`.
        progress: `Progress`.
        ending: `limits.Ending`; an empty one at the last step.
        workdir: folder of the run.
        role: that the best is chosen by.
    """
    step, segment = progress.step, progress.segment
    best = f"{describe_best(progress, role)}; in {workdir}"
    if step < segment.end:
        log.say(f"ended at step {step} of {segment.end}: {ending.why}; {best}")
        log.say(
            f"the same command with {ending.remedy} goes on from there; with another "
            "--config.steps or --config.learning_rate it begins a new cosine"
        )
        return
    log.say(f"done: {counted(step, 'step')}, {best}")
    log.say(
        f"to train it further: the same command with --config.steps={2 * step}, at rate "
        f"{segment(step - 1):.3g}, where it stands, or at --config.learning_rate=RATE"
    )
