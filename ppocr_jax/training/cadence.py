"""What is due after an update: a record, an evaluation, a checkpoint, the end. Pure functions."""

import dataclasses
from typing import NamedTuple

import ml_collections


class Due(NamedTuple):
    """What follows an update, in the order in which it happens."""

    record: bool
    evaluate: bool
    save: bool
    stop: bool  # early, because a signal came


@dataclasses.dataclass(frozen=True)
class Cadence:
    """Intervals of a run, in steps; 0 means only at the end.

    Attributes:
        total_steps: steps of the whole run; the last one is recorded, evaluated and saved.
        record_every: at least 1.
        evaluate_every: every evaluated state is saved too.
        save_every: for the states between evaluations.
    """

    total_steps: int
    record_every: int
    evaluate_every: int = 0
    save_every: int = 0

    @classmethod
    def of(cls, config: ml_collections.ConfigDict, total_steps: int, epoch_steps: int) -> "Cadence":
        """Reads the intervals from a config; `eval.every_epochs` overrides `eval.every_steps`."""
        evaluate_every = config.eval.every_epochs * epoch_steps or config.eval.every_steps
        return cls(total_steps, config.log.every_steps, evaluate_every, config.save.every_steps)

    def __call__(self, step: int, stopping: bool = False, ending: bool = False) -> Due:
        """What is due after update number `step`.

        A run that is told to stop saves its state without evaluating it: an evaluation may take
        minutes, and SIGTERM is often followed by SIGKILL. The run evaluates when it resumes.

        Args:
            step: number of the update, from 1.
            stopping: a signal asks the run to stop.
            ending: the time limit is reached.
        """
        last = step == self.total_steps
        evaluate = (self.evaluates(step) or ending) and not stopping
        return Due(
            record=self.records(step),
            evaluate=evaluate,
            save=last or evaluate or stopping or self._every(self.save_every, step),
            stop=stopping and not last,
        )

    def records(self, step: int) -> bool:
        """Whether a record ends with update number `step`."""
        return step == self.total_steps or self._every(self.record_every, step)

    def evaluates(self, step: int) -> bool:
        """Whether an evaluation follows update number `step`."""
        return step == self.total_steps or self._every(self.evaluate_every, step)

    def evaluations_after(self, step: int) -> int:
        """How many evaluations follow the updates after `step`."""
        return sum(map(self.evaluates, range(step + 1, self.total_steps + 1)))

    @staticmethod
    def _every(interval: int, step: int) -> bool:
        return interval > 0 and step % interval == 0
