"""Early stopping: evaluations without gain, or a time limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ppocr_jax.errors import counted

if TYPE_CHECKING:
    import ml_collections

    from ppocr_jax.training.progress import Progress


class Ending(NamedTuple):
    """Why a run ends before its last step, and the option to continue it; empty while it runs."""

    why: str = ""
    remedy: str = ""


class Limits:
    """Checks a run against `eval.patience` and `time_limit_minutes`.

    Args:
        config: a whole config.
        progress: as the run starts or resumes.
        clock: returns seconds.
    """

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        progress: Progress,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._eval, self.minutes = config.eval, config.time_limit_minutes
        # As if the clock had started with the run's first start.
        self._clock, self._zero = clock, clock() - progress.seconds

    @property
    def seconds(self) -> float:
        """Time the run has taken: this start, and earlier ones up to their last saved state."""
        return self._clock() - self._zero

    def is_up(self, seconds: float) -> bool:
        """Whether a run of this length has reached its time limit."""
        return 0 < self.minutes * 60 <= seconds

    def describe(self, evaluations: int) -> list[str]:
        """Lines for the start of a run that has this many evaluations ahead."""
        lines = []
        if self.minutes:
            used = f", of which {self.seconds / 60:.1f} are used" * (self.seconds > 6)
            lines.append(f"ends after {self.minutes:g} minutes{used} (time_limit_minutes)")
        if self._eval.patience > evaluations > 0:
            number = counted(evaluations, "evaluation")
            lines.append(
                f"warning: eval.patience={self._eval.patience} has no effect with only {number} to "
                "come: a smaller eval.every_steps makes more"
            )
        return lines

    def reached(self, progress: Progress, time_is_up: bool) -> Ending:
        """The `Ending` of a run at `progress`; an empty one if it should go on."""
        limits, gain = self._eval, progress.gain
        patience, after = limits.patience, limits.patience_min_steps
        # Patience counts evaluations, so it can run out only at one.
        if progress.evaluated and 0 < patience <= progress.stale and progress.step >= after:
            least = f" of more than {limits.patience_min_gain:g}" * bool(limits.patience_min_gain)
            return Ending(
                f"no gain{least} over hmean {gain['hmean']:.4f} of step {gain['step']} in "
                f"{progress.stale} evaluations (eval.patience={patience})",
                "--config.eval.patience=0",
            )
        if time_is_up:
            return Ending(
                f"its {self.minutes:g} minutes are up (time_limit_minutes)",
                f"--config.time_limit_minutes={2 * self.minutes:g}",
            )
        return Ending()
