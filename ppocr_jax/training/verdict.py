"""Comments on an evaluation: how it compares with earlier ones, and the likely cause if bad."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import ml_collections
from jaxtyping import Array, Float, PyTree

from ppocr_jax import averages
from ppocr_jax.scoring.case import Course
from ppocr_jax.scoring.diagnosis import find_cause
from ppocr_jax.scoring.evaluation import count_images
from ppocr_jax.training.standing import Standing, gained_nothing, note_standing
from ppocr_jax.training.state import norm_of

if TYPE_CHECKING:
    from ppocr_jax.data.training_split import Training
    from ppocr_jax.training.progress import Progress


class Verdict(NamedTuple):
    """The verdict on one role.

    Attributes:
        words: appended to the line with its metrics.
        figures: added to its record.
        cause: a sentence on why the score is bad; "" if it is not, and for all roles but the one
            that selects the best state.
    """

    words: str
    figures: dict[str, Any]
    cause: str


class Verdicts:
    """Compares the scores of a run with those of its initial weights, and looks for causes.

    Args:
        config: a whole config.
        training: the training split.
        images: size of the validation set, over all processes.
    """

    def __init__(self, config: ml_collections.ConfigDict, training: Training, images: int) -> None:
        self._config, self._training, self._images = config, training, images
        self._counts: dict[str, Any] = {}
        self._standings: dict[str, Standing] = {}
        self._last: Any = None

    def __call__(
        self,
        progress: Progress,
        role: str,
        variables: Mapping[str, PyTree[Float[Array, ...]]],
        metrics: dict[str, Any],
        outcomes: Sequence[Any],
    ) -> Verdict:
        """The verdict on a role; call it before `progress` notes the evaluation.

        Args:
            progress: of the run.
            role: the role.
            variables: of its network, on this process's devices.
            metrics, outcomes: see `evaluation.evaluate`.
        """
        is_best, hmean = role == self._config.best.role, metrics["hmean"]
        counts = self._counts[role] = count_images(outcomes, self._images)
        settings = scoring_settings(self._config)
        standing = Standing.of(progress, role, counts, is_best, settings)
        self._standings[role] = standing
        figures: dict[str, Any] = {**standing.figures(hmean)}
        cause = None
        if is_best:
            course = self._describe(progress, role, variables["params"], standing)
            cause = find_cause(outcomes, metrics, self._config, course)
            self._last = outcomes, metrics, course, cause
        if cause:
            figures["likely_cause"] = cause.name
        return Verdict(standing.words(hmean), figures, cause.text if cause else "")

    def note(self, progress: Progress) -> None:
        """Adds what later evaluations need to `progress`, once that has noted this one."""
        role = self._config.best.role
        settings = scoring_settings(self._config)
        note_standing(progress, role, self._counts, self._standings[role], settings)

    def conclude(self, progress: Progress) -> str:
        """The likely cause if the run gained nothing and no evaluation has named one; else ""."""
        if self._last is None or not gained_nothing(progress, self._config.best.role):
            return ""
        outcomes, metrics, course, cause = self._last
        if cause is None:
            cause = find_cause(outcomes, metrics, self._config, course._replace(ends=True))
            return cause.text if cause else ""
        return ""

    def _describe(self, progress, role, params, standing):
        """Describes the run so far for the diagnosis."""
        course, training = progress.course, self._training
        # Losses of the first and the last record, and the growth of the parameters' norm.
        losses = [course.get(name, {}).get("total") for name in ("first", "last")]
        base = standing.base
        source = averages.followed(role)  # an average begins as what it follows
        norm = course.get("norm", {}).get(source)
        segments = [s for s in progress.segments if s.begin < progress.step]
        # The current segment: the diagnosis asks whether its warm-up is over.
        segments, last = segments or progress.segments[:1], (segments or progress.segments)[-1]
        return Course(
            step=progress.step,
            begin=last.begin,
            warmup=last.warmup if last.rate > last.start else 0,
            rate=max(segment.rate for segment in segments),
            # Evaluation needs no threshold map.
            fresh=tuple(p for p in course.get("fresh", {}).get(source, ()) if p != "head.thresh"),
            growth=norm_of(params) / norm if norm else 1.0,
            losses=None if None in losses else tuple(losses),
            best=standing.best_hmean if standing.best_step >= 0 else None,
            worse=base is not None and base.high < 0,
            samples=training.samples,
            misfit=training.misfit,
        )


def scoring_settings(config: ml_collections.ConfigDict) -> str:
    """The settings that the score of given weights depends on, as one string to compare."""
    sizes = {key: config.eval[key] for key in ("limit_side", "limit_type", "shared_shapes")}
    return json.dumps({**sizes, **config.postprocess.to_dict()}, sort_keys=True)
