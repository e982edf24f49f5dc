"""What is due after an update: a record, an evaluation, a saved state, the end. Pure."""

import dataclasses
from typing import NamedTuple


class Due(NamedTuple):
    """What follows an update, in the order in which it is done."""

    record: bool
    evaluate: bool
    save: bool
    stop: bool  # before the last update, since a signal came


@dataclasses.dataclass(frozen=True)
class Cadence:
    """Intervals of a run, in updates; an interval of 0 is never, but at the end.

    Attributes:
        total_steps: updates of the whole run; the last one is recorded, evaluated and saved.
        record_every: at least 1.
        evaluate_every: an evaluated state is saved as well.
        save_every: of the states in between.
    """

    total_steps: int
    record_every: int
    evaluate_every: int = 0
    save_every: int = 0

    @classmethod
    def of(cls, config, total_steps: int, epoch_steps: int) -> "Cadence":
        """The intervals of a config; `eval.every_epochs` goes before `eval.every_steps`."""
        evaluate_every = config.eval.every_epochs * epoch_steps or config.eval.every_steps
        return cls(total_steps, config.log.every_steps, evaluate_every, config.save.every_steps)

    def __call__(self, step: int, stopping: bool = False, ending: bool = False) -> Due:
        """What is due after update number `step`.

        `stopping`: a signal asks the run to end. `ending`: its time is up.

        A run that is asked to end saves its state and goes: an evaluation may take minutes, and
        whoever sends SIGTERM often sends SIGKILL soon. The evaluation that it misses is made up
        for when the run continues.
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
        """Whether update number `step` ends a record."""
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
