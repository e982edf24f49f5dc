"""The progress of a run: what a checkpoint's `meta` holds besides the arrays."""

import dataclasses
from typing import Any

import ml_collections

from ppocr_jax import __version__
from ppocr_jax import config as configs
from ppocr_jax.optim.schedule import Segment


@dataclasses.dataclass
class Progress:
    """What changes from update to update. Every field is saved and restored under its name.

    Attributes:
        step: updates done.
        best: `{"hmean", "step"}` of the best evaluation so far, with step -1 before the first one.
            Where known also `low` and `high` of its confidence interval, and `gain`, a `Difference`
            to the base.
        base: `{"step", "hmean", "counts", "settings"}` of the evaluation before the first update,
            with `hmean` and `counts` by role; {} if there was none. See `evaluation.count_images`.
        course: how training went: by role `fresh`, the parts that were initialised at random, and
            `norm`, that of the initial parameters; `first` and `last`, the losses of those records.
        metrics: of the last evaluation, by role.
        evaluated_step: of that evaluation; -1 before the first one.
        gain: `{"hmean", "step"}` of the last evaluation that exceeded the previous gain by more
            than `eval.patience_min_gain`.
        stale: evaluations since then.
        seconds: time the run has taken, over all its starts.
        segments: of the learning rate schedule; the last one holds the next update.
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
        """Reads what `to_meta` wrote; fields that an older version lacked get their default."""
        names = [field.name for field in dataclasses.fields(cls) if field.name in meta]
        progress = cls(**{name: meta[name] for name in names})
        progress.window = [
            (step, losses, n) for step, losses, n in progress.window
        ]  # lists in JSON
        progress.segments = [Segment.read(entry) for entry in progress.segments]
        if "gain" not in meta:
            progress.gain = dict(progress.best)
        return progress

    def to_meta(self, config: ml_collections.ConfigDict) -> dict[str, Any]:
        """All fields, and what a reader of the weights needs: roles, config and version."""
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
        """Whether the current weights have been evaluated."""
        return self.evaluated_step == self.step

    @property
    def segment(self) -> Segment:
        """The segment of the next update."""
        return self.segments[-1]

    def note_evaluation(
        self, metrics: dict[str, dict[str, Any]], best_role: str, min_gain: float = 0.0
    ) -> None:
        """Notes an evaluation of the current weights; updates `best` and `gain`.

        Args:
            metrics: by role.
            best_role: the role whose hmean selects the best state.
            min_gain: hmean by which a gain must exceed the last one.
        """
        self.metrics, self.evaluated_step = metrics, self.step
        hmean = metrics[best_role]["hmean"]
        if hmean >= self.best["hmean"]:  # of equals the newest, as the checkpoints keep it
            self.best = {"hmean": hmean, "step": self.step}
        if hmean > self.gain["hmean"] + min_gain:
            self.gain, self.stale = {"hmean": hmean, "step": self.step}, 0
        else:
            self.stale += 1

    def note_record(self, step: int, losses: dict[str, float], textless_share: float) -> None:
        """Notes the mean losses of the record that ends with update number `step`."""
        record = {"step": step, "total": losses.get("total"), "textless": textless_share}
        self.course.setdefault("first", record)
        self.course["last"] = record
