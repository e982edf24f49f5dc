"""How a run goes on: in the segment that it stands in, or in a new one where it is told so.

A new segment begins at the restored step when the command asks for another number of steps, gives
another rate, or another warm-up. Its warm-up leads from where the rate stood to its own rate.
"""

import dataclasses

import ml_collections

from ppocr_jax import forms
from ppocr_jax.errors import UserError
from ppocr_jax.optim.schedule import Segment, first_segment

GIVEN = "as given"
SMALL = 0.01  # of the highest rate so far: below it a run hardly learns


def first(config, training) -> Segment:
    """The segment of a run that begins with this config."""
    return first_segment(config, training.total_steps, training.epoch_steps)


def go_on(progress, saved, config, training, given=()) -> list[str]:
    """Gives `progress` the segments that it goes on with.

    Args:
        progress: `Progress` of the restored state; without segments where an older version wrote
            it.
        saved: config of that state, as it was written.
        config: whole config of this start.
        training: `data.training_split.Training`.
        given: keys that the command itself names: a rate among them counts as given even where
            it is that of the config already.

    Returns:
        Lines on what is new.

    Raises:
        UserError: nothing is left to do at the new values.
    """
    saved = forms.upgrade(saved or forms.plain(config))[0]
    segments = list(progress.segments) or [_saved_segment(saved, training)]
    now, step, total = segments[-1], progress.step, training.total_steps
    rated = "learning_rate" in given or config.learning_rate != saved["learning_rate"]
    rated = rated and config.learning_rate != now.rate
    warmed = any(config[key] != saved[key] for key in ("warmup_epochs", "warmup_steps"))
    progress.segments = segments
    if not (rated or warmed or total != now.end):
        return []
    _require_steps_to_come(progress, config, total)
    kept = [segment for segment in segments if segment.begin < step]
    if not kept:  # nothing was learned yet: the run begins with the new values
        progress.segments = [first(config, training)]
        return ["no update was made yet: the run begins with the new values"]
    new, why = _follow(kept[-1], step, first(config, training), rated)
    progress.segments, progress.stale = [*kept, new], 0
    return _describe(kept, new, why)


def _saved_segment(saved, training):
    """That of a run whose state was saved before there were segments."""
    config = ml_collections.ConfigDict(forms.with_tuples(saved))
    total = config.steps or config.epochs * training.epoch_steps
    return first_segment(config, total, training.epoch_steps)


def _require_steps_to_come(progress, config, total):
    step = progress.step
    if total > step:
        return
    if step == progress.segments[-1].end:
        raise UserError(
            f"the run is finished at step {step}: to train it further, say to which step, such as "
            f"--config.steps={2 * step}"
        )
    key = f"steps={config.steps}" if config.steps else f"epochs={config.epochs} ({total} steps)"
    raise UserError(
        f"config.{key}: the run stands at step {step} already: give more, such as "
        f"--config.steps={progress.segments[-1].end}"
    )


def _follow(last, step, wanted, rated):
    """The segment that goes on at `step` from `last`, and why it has its rate."""
    stood = last(step - 1)
    if rated:
        rate, why = wanted.rate, GIVEN
    elif step - last.begin < last.warmup:
        rate, why = last.rate, "to which the last one was warming up"
    else:
        rate, why = stood, "where the last one stood"
    return dataclasses.replace(wanted, begin=step, rate=rate, start=stood), why


def _describe(before, new, why):
    lines = [
        f"from step {new.begin} a new cosine over {new.end - new.begin} more steps to {new.end}, "
        f"at rate {new.rate:.3g}, {why}"
    ]
    if new.warmup and new.rate != new.start:
        lines[0] += f"; the first {new.warmup} lead there from {new.start:.3g}"
    most = max(segment.rate for segment in before)
    if why != GIVEN and new.rate < SMALL * most:
        lines.append(
            f"warning: at rate {new.rate:.3g} hardly anything is learned (the run had {most:g}): "
            f"--config.learning_rate={most / 4:.2g}, for example, starts the new cosine higher"
        )
    return lines
