"""What ends a run before its last step: evaluations without gain, or the time that it may take."""

import time
from typing import NamedTuple


class Ending(NamedTuple):
    """Why a run ends before its last step, and what lets it go on; empty while it goes on."""

    why: str = ""
    remedy: str = ""


class Limits:
    """Holds a run against `eval.patience` and `time_limit_minutes`.

    Args:
        config: a whole config.
        progress: `Progress`, as the run begins or goes on.
        clock: seconds.
    """

    def __init__(self, config, progress, clock=time.monotonic):
        self._eval, self.minutes = config.eval, config.time_limit_minutes
        self._clock, self._zero = clock, clock() - progress.seconds

    @property
    def seconds(self):
        """The run's own time: of this start, and of those before it up to their last state."""
        return self._clock() - self._zero

    def is_up(self, seconds):
        """Whether a run of so many seconds has taken the time that it may take."""
        return 0 < self.minutes * 60 <= seconds

    def describe(self, evaluations):
        """Lines for the start of a run that has so many evaluations to come."""
        lines = []
        if self.minutes:
            used = f", of which {self.seconds / 60:.1f} are used" * (self.seconds > 6)
            lines.append(f"ends after {self.minutes:g} minutes{used} (time_limit_minutes)")
        if self._eval.patience > evaluations > 0:
            lines.append(
                f"warning: eval.patience={self._eval.patience} ends nothing, with {evaluations} "
                "evaluations to come: eval.every_steps makes more"
            )
        return lines

    def reached(self, progress, time_is_up):
        """The `Ending` of a run that stands at `progress`."""
        limits, gain = self._eval, progress.gain
        patience, after = limits.patience, limits.patience_min_steps
        if progress.evaluated and 0 < patience <= progress.stale and progress.step >= after:
            least = f" of more than {limits.patience_min_gain:g}" * bool(limits.patience_min_gain)
            return Ending(
                f"no gain{least} over hmean {gain['hmean']:.4f} of step {gain['step']} in "
                f"{progress.stale} evaluations (eval.patience={patience})",
                "--config.eval.patience=0",
            )
        if time_is_up:
            return Ending(
                f"its {self.minutes:g} minutes are over (time_limit_minutes)",
                f"--config.time_limit_minutes={2 * self.minutes:g}",
            )
        return Ending()
