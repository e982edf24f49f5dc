"""The lines and records of a run: at its start, every few updates and at its end."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import ml_collections

from ppocr_jax import __version__, averages
from ppocr_jax import config as configs
from ppocr_jax.errors import counted
from ppocr_jax.models.precision import describe_precision
from ppocr_jax.training.forecast import describe_course, evaluation_seconds
from ppocr_jax.training.records import format_duration, format_losses
from ppocr_jax.training.standing import describe_best

if TYPE_CHECKING:
    from ppocr_jax.data.sample import Sample
    from ppocr_jax.data.training_split import Training
    from ppocr_jax.training.forecast import Forecast
    from ppocr_jax.training.limits import Ending
    from ppocr_jax.training.meter import Meter
    from ppocr_jax.training.progress import Progress
    from ppocr_jax.training.records import RunLog
    from ppocr_jax.training.start import Setup, Start

ENOUGH_CROPS = 40  # crops before a share of them means something
MANY_TEXTLESS = 0.2  # share of crops without text that is worth a warning


def announce(
    log: RunLog,
    setup: Setup,
    training: Training,
    validation: Sequence[Sample],
    begun: Start,
    notes: list[str],
    evaluations: int,
    first: bool,
) -> None:
    """Logs what the run is going to do, as lines and as the record `start`.

    Args:
        log: takes the lines and the record.
        setup: networks, optimiser and devices.
        training, validation: the splits.
        begun: the first state.
        notes: lines on how it was made.
        evaluations: how many are to come.
        first: whether one of them comes before any update.
    """
    # The facts, then the lines in the order in which a reader asks: what, how long, from where.
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
        f"optimizer state {slots / 2**20:.1f} MiB, for {learning} only{still}",
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


def record_updates(
    log: RunLog,
    progress: Progress,
    meter: Meter,
    setup: Setup,
    training: Training,
    forecast: Forecast,
    step: int,
    to_come: int,
    skipped: int,
) -> None:
    """Logs one line and one record: means over the updates since the last record.

    Args:
        log: takes both.
        progress: notes the losses.
        meter: measured the updates; starts a new record.
        setup: networks, optimiser and devices.
        training: the training split.
        forecast: notes the step time.
        step: number of the last of these updates; the next one may be running already.
        to_come: evaluations that follow it.
        skipped: training records that were unusable so far.
    """
    losses, figures = meter.take(setup.config.batch_size)
    progress.note_record(step, losses, figures["textless_share"])
    rate = progress.segment(step - 1)
    epoch = (step - 1) // training.epoch_steps + 1
    step_s = figures.pop("seconds_per_step")
    # The estimate includes the evaluations to come, which may take longer than the updates.
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


def warn_of_textless(
    log: RunLog, meter: Meter, share: float, config: ml_collections.ConfigDict
) -> None:
    """Warns if crops have no text to learn from: all since the last record, or many so far.

    Args:
        log: takes the warning.
        meter: counts crops; notes that the warning was given.
        share: of crops without text since the last record, 0 to 1.
        config: a whole config.
    """
    crops, textless = meter.crops
    if share == 1.0:
        many = "no crop since the last record has"
    elif not meter.warned and crops >= ENOUGH_CROPS and textless >= MANY_TEXTLESS * crops:
        many = f"{textless} of {crops} crops so far ({textless / crops:.0%}) do not have"
    else:
        return
    meter.warned = True  # so the second case is reported once
    log.say(
        f"warning: {many} text to learn from: words may be smaller than "
        f"data.targets.min_text_size={config.data.targets.min_text_size} once they are scaled "
        f"into crops of {config.crop} pixels, ignored (*, ###), or unlabelled; check_data counts "
        "them"
    )


def say_the_end(log: RunLog, progress: Progress, ending: Ending, workdir: Any, role: str) -> None:
    """Logs the result, why the run ends, and how to continue it.

    Args:
        log: takes the lines.
        progress: of the run.
        ending: why it ends early; an empty one at the last step.
        workdir: folder of the run.
        role: the role that selects the best state.
    """
    step, segment = progress.step, progress.segment
    best = f"{describe_best(progress, role)}; in {workdir}"
    if step < segment.end:
        log.say(f"ended at step {step} of {segment.end}: {ending.why}; {best}")
        log.say(
            f"the same command with {ending.remedy} continues from there; with another "
            "--config.steps or --config.learning_rate it starts a new cosine"
        )
        return
    log.say(f"done: {counted(step, 'step')}, {best}")
    log.say(
        f"to train further: the same command with --config.steps={2 * step}; it continues at the "
        f"current learning rate {segment(step - 1):.3g}, or at --config.learning_rate=RATE"
    )
