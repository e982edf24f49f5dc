"""Where a run stands: what a saved state's `meta` says besides the arrays."""

import dataclasses
from typing import Any

from ppocr_jax import __version__
from ppocr_jax import config as configs
from ppocr_jax.optim.schedule import Segment


@dataclasses.dataclass
class Progress:
    """What changes from update to update. Every field is saved under its name, and read back.

    Attributes:
        step: updates done.
        best: `{"hmean", "step"}` of the best evaluation so far, step -1 before the first one; with
            `low` and `high` of its interval and `gain`, a `Difference` to the base, where known.
        base: `{"step", "hmean", "counts", "settings"}`, the middle two by role, of the evaluation
            before the first update; {} where there was none. See `evaluation.count_images`.
        course: how the run went: `fresh`, parts that began from fresh values, and `norm`, of the
            first parameters, both by role; `first` and `last`, the losses of those records.
        metrics: of the last evaluation, by role.
        evaluated_step: of that evaluation; -1 before the first one.
        gain: `{"hmean", "step"}` of the last one that passed the one before by more than
            `eval.patience_min_gain`.
        stale: evaluations since then.
        seconds: that the run has taken, all its starts together.
        segments: of the learning rate, in their order; the last one is that of the next update.
        window: `(step, losses, crops without text)` of the updates since the last record.
    """

    step: int = 0
    best: dict[str, Any] = dataclasses.field(default_factory=lambda: {"hmean": -1.0, "step": -1})
    base: dict[str, Any] = dataclasses.field(default_factory=dict)
    course: dict[str, Any] = dataclasses.field(default_factory=dict)
    metrics: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    evaluated_step: int = -1
    gain: dict[str, Any] = dataclasses.field(default_factory=lambda: {"hmean": -1.0, "step": -1})
    stale: int = 0
    seconds: float = 0.0
    segments: list[Segment] = dataclasses.field(default_factory=list)
    window: list[tuple[int, dict[str, float], int]] = dataclasses.field(default_factory=list)

    @classmethod
    def from_meta(cls, meta: dict[str, Any]) -> "Progress":
        """Reads back what `to_meta` wrote; a field that an older version did not write is new."""
        names = [field.name for field in dataclasses.fields(cls) if field.name in meta]
        progress = cls(**{name: meta[name] for name in names})
        progress.window = [tuple(entry) for entry in progress.window]  # JSON has lists alone
        progress.segments = [Segment.read(entry) for entry in progress.segments]
        if "gain" not in meta:
            progress.gain = dict(progress.best)
        return progress

    def to_meta(self, config) -> dict[str, Any]:
        """All of it, and what those who take weights out of the state need to know."""
        return {
            **vars(self),
            "segments": [dataclasses.asdict(segment) for segment in self.segments],
            "roles": list(config.roles),
            "trainable": list(config.trainable),
            "config": configs.record(config),
            "version": __version__,
        }

    @property
    def evaluated(self) -> bool:
        """Whether the weights as they are now were scored."""
        return self.evaluated_step == self.step

    @property
    def segment(self) -> Segment:
        """Of the next update."""
        return self.segments[-1]

    def note_evaluation(
        self, metrics: dict[str, dict[str, Any]], best_role: str, min_gain: float = 0.0
    ) -> None:
        """Takes in an evaluation of the weights as they are now, and moves `best` and `gain`."""
        self.metrics, self.evaluated_step = metrics, self.step
        hmean = metrics[best_role]["hmean"]
        if hmean >= self.best["hmean"]:
            self.best = {"hmean": hmean, "step": self.step}
        if hmean > self.gain["hmean"] + min_gain:
            self.gain, self.stale = {"hmean": hmean, "step": self.step}, 0
        else:
            self.stale += 1

    def note_record(self, step: int, losses: dict[str, float], textless_share: float) -> None:
        """Takes in the mean losses of a record that ends with update number `step`."""
        record = {"step": step, "total": losses.get("total"), "textless": textless_share}
        self.course.setdefault("first", record)
        self.course["last"] = record
