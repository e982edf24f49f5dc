"""What is said of an evaluation besides its figures: where it stands, and why it is bad."""

import json
from typing import Any, NamedTuple

from ppocr_jax import averages
from ppocr_jax.scoring.case import Course
from ppocr_jax.scoring.diagnosis import find_cause
from ppocr_jax.scoring.evaluation import count_images
from ppocr_jax.training.standing import Standing, gained_nothing, note_standing
from ppocr_jax.training.state import norm_of


class Verdict(NamedTuple):
    """On one role.

    Attributes:
        words: that follow its scores in a line.
        figures: for its record.
        cause: a sentence on why the score is bad; "" where it is not, and of other roles than the
            one that the best is chosen by.
    """

    words: str
    figures: dict[str, Any]
    cause: str


class Verdicts:
    """Compares what a run scores with what it began with, and looks for causes.

    Args:
        config: a whole config.
        training: `data.training_split.Training`.
        images: how many are scored, by all processes.
    """

    def __init__(self, config, training, images):
        self._config, self._training, self._images = config, training, images
        self._counts, self._standings, self._last = {}, {}, None

    def __call__(self, progress, role, variables, metrics, outcomes) -> Verdict:
        """The verdict on a role, before `progress` takes note of the evaluation.

        Args:
            progress: `Progress`.
            role: name.
            variables: of its network, on this process's devices.
            metrics, outcomes: see `evaluation.evaluate`.
        """
        is_best, hmean = role == self._config.best.role, metrics["hmean"]
        counts = self._counts[role] = count_images(outcomes, self._images)
        settings = scoring_settings(self._config)
        standing = Standing.of(progress, role, counts, is_best, settings)
        self._standings[role] = standing
        figures, cause = standing.figures(hmean), None
        if is_best:
            course = self._describe(progress, role, variables["params"], standing)
            cause = find_cause(outcomes, metrics, self._config, course)
            self._last = outcomes, metrics, course, cause
        if cause:
            figures["likely_cause"] = cause.name
        return Verdict(standing.words(hmean), figures, cause.text if cause else "")

    def note(self, progress):
        """Adds to `progress`, which has taken note of the evaluation, what later ones need."""
        role = self._config.best.role
        settings = scoring_settings(self._config)
        note_standing(progress, role, self._counts, self._standings[role], settings)

    def conclude(self, progress) -> str:
        """Why a run that ends here gained nothing, where its last evaluation did not say so; ""."""
        if self._last is None or not gained_nothing(progress, self._config.best.role):
            return ""
        outcomes, metrics, course, cause = self._last
        if cause is None:
            cause = find_cause(outcomes, metrics, self._config, course._replace(ends=True))
            return cause.text if cause else ""
        return ""

    def _describe(self, progress, role, params, standing):
        """`diagnosis.Course` of the run as it stands."""
        course, training = progress.course, self._training
        losses = [course.get(name, {}).get("total") for name in ("first", "last")]
        base = standing.base
        source = averages.followed(role)  # an average begins as what it follows
        norm = course.get("norm", {}).get(source)
        segments = [s for s in progress.segments if s.begin < progress.step]
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


def scoring_settings(config):
    """What scores of the same weights on the same images depend on, as one text."""
    sizes = {key: config.eval[key] for key in ("limit_side", "limit_type", "shared_shapes")}
    return json.dumps({**sizes, **config.postprocess.to_dict()}, sort_keys=True)
