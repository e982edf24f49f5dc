"""The learning rate schedule of a resumed run: its current segment, or a new one.

A new segment starts at the restored step when the command sets another number of steps, another
learning rate or another warm-up. It warms up from the current learning rate to its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import ml_collections

from ppocr_jax import forms
from ppocr_jax.errors import UserError
from ppocr_jax.optim.schedule import Segment, first_segment

if TYPE_CHECKING:
    from ppocr_jax.data.training_split import Training
    from ppocr_jax.training.progress import Progress

GIVEN = "as given"
SMALL = 0.01  # of the highest learning rate so far: below this share a run hardly learns


def first(config: ml_collections.ConfigDict, training: Training) -> Segment:
    """The first segment of a new run with this config."""
    return first_segment(config, training.total_steps, training.epoch_steps)


def go_on(
    progress: Progress,
    saved: dict[str, Any] | None,
    config: ml_collections.ConfigDict,
    training: Training,
    given: Collection[str] = (),
) -> list[str]:
    """Sets the segments that a resumed run continues with, in `progress`.

    Args:
        progress: of the restored state; older versions saved no segments.
        saved: config of that state, as it was written.
        config: whole config of this start.
        training: the training split.
        given: config keys named on the command line. `learning_rate` among them counts as given
            even if the saved config has the same value: the user asks to go back to it.

    Returns:
        Lines on what changed.

    Raises:
        UserError: no steps are left with the new values.
    """
    # What the run had, and what this command asks for.
    saved = forms.upgrade(saved or forms.plain(config))[0]
    segments = list(progress.segments) or [_saved_segment(saved, training)]
    now, step, total = segments[-1], progress.step, training.total_steps
    rated = "learning_rate" in given or config.learning_rate != saved["learning_rate"]
    rated = rated and config.learning_rate != now.rate
    warmed = any(config[key] != saved[key] for key in ("warmup_epochs", "warmup_steps"))
    progress.segments = segments
    if not (rated or warmed or total != now.end):
        return []

    # A new segment. Those that would begin at or after this step were never used.
    _require_steps_to_come(progress, config, total)
    kept = [segment for segment in segments if segment.begin < step]
    if not kept:  # no update yet, so there is nothing to continue
        progress.segments = [first(config, training)]
        return ["no update was made yet: the run starts with the new values"]
    new, why = _follow(kept[-1], step, first(config, training), rated)
    progress.segments, progress.stale = [*kept, new], 0
    return _describe(kept, new, why)


def _saved_segment(saved, training):
    """The one segment of a run saved by a version that knew no segments."""
    config = ml_collections.ConfigDict(forms.with_tuples(saved))
    total = config.steps or config.epochs * training.epoch_steps
    return first_segment(config, total, training.epoch_steps)


def _require_steps_to_come(progress, config, total):
    step = progress.step
    if total > step:
        return
    if step == progress.segments[-1].end:
        raise UserError(
            f"the run finished at step {step}: to train it further, raise the number of steps, "
            f"for example --config.steps={2 * step}"
        )
    key = f"steps={config.steps}" if config.steps else f"epochs={config.epochs} ({total} steps)"
    raise UserError(
        f"config.{key}: the run is already at step {step}: set more, for example "
        f"--config.steps={progress.segments[-1].end}"
    )


def _follow(last, step, wanted, rated):
    """`(segment, reason)`: the segment from `step` on, and why it has its learning rate."""
    stood = last(step - 1)  # the rate of the last update
    if rated:
        rate, why = wanted.rate, GIVEN
    elif step - last.begin < last.warmup:
        # Interrupted in its warm-up: the current rate is far below what was asked for.
        rate, why = last.rate, "which the last one was warming up to"
    else:
        rate, why = stood, "where the last one ended"
    return dataclasses.replace(wanted, begin=step, rate=rate, start=stood), why


def _describe(before, new, why):
    lines = [
        f"from step {new.begin} a new cosine over {new.end - new.begin} more steps to {new.end}, "
        f"at learning rate {new.rate:.3g}, {why}"
    ]
    if new.warmup and new.rate != new.start:
        lines[0] += f"; the first {new.warmup} warm up from {new.start:.3g}"
    most = max(segment.rate for segment in before)
    if why != GIVEN and new.rate < SMALL * most:
        lines.append(
            f"warning: at learning rate {new.rate:.3g} the run will learn next to nothing (it had "
            f"{most:g}): --config.learning_rate={most / 4:.2g}, for example, starts the new cosine "
            "higher"
        )
    return lines
