"""Evaluates the roles of a state during a run."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import ml_collections
import numpy as np
from etils import epath

from ppocr_jax import averages, devices
from ppocr_jax.detection import ahead
from ppocr_jax.detection.network import make_predict
from ppocr_jax.models.detector import build_detector
from ppocr_jax.pages.pictures import draw_rows
from ppocr_jax.scoring.evaluation import evaluate, explain
from ppocr_jax.training.showing import Results
from ppocr_jax.training.state import extract_role
from ppocr_jax.training.verdict import Verdicts

if TYPE_CHECKING:
    from ppocr_jax.data.sample import Sample
    from ppocr_jax.data.training_split import Training
    from ppocr_jax.training.packed import PackedState
    from ppocr_jax.training.progress import Progress
    from ppocr_jax.training.records import RunLog
    from ppocr_jax.training.start import Setup
    from ppocr_jax.training.state import TrainState

PICTURE_WIDTH = 800  # pixels of an image pair for the writers: about 100 kB each


class Judge:
    """Evaluates every trainable role and its average on the validation set.

    Args:
        setup: networks, optimiser and devices.
        validation: the validation set.
        log: takes lines and records.
        training: the training split.
        workdir: folder of the run.

    Attributes:
        results: writes the results page.
    """

    def __init__(
        self,
        setup: Setup,
        validation: Sequence[Sample],
        log: RunLog,
        training: Training,
        workdir: epath.Path,
    ) -> None:
        self._setup, self._validation, self._log = setup, validation, log
        self._verdicts = Verdicts(setup.config, training, len(validation))
        self._predicts = share_predicts(setup.config)
        self._outcomes: list[Any] = []  # of the best role at the last evaluation
        self._ahead: Any = None  # compiles the programs of the evaluation during the updates
        self.results = Results(setup.config, setup.mesh, self._predicts, validation, log, workdir)

    def __call__(self, state: TrainState | PackedState, progress: Progress) -> None:
        """Evaluates the weights of `state`, logs the metrics and notes them in `progress`."""
        config = self._setup.config
        metrics: dict[str, dict[str, Any]] = {}
        scored: dict[str, Any] = {}
        self._await_programs()
        for role in averages.scored(config):
            variables, sharding = devices.own_part(extract_role(state, role), self._setup.mesh)
            known = scored.get(averages.followed(role))
            # Before the first update an average equals its role: one evaluation does for both.
            if known and is_same(variables, known[0]):
                metrics[role], outcomes = dict(metrics[averages.followed(role)]), known[1]
            else:
                metrics[role], outcomes = evaluate(
                    self._predicts[role], variables, self._validation, config, sharding
                )
            scored[role] = variables, outcomes
            if role == config.best.role:
                self._outcomes = outcomes
            # Log before the next role is evaluated: each may take minutes.
            verdict = self._verdicts(progress, role, variables, metrics[role], outcomes)
            self._log.say(
                f"evaluated {role} at step {progress.step}: {explain(metrics[role])}{verdict.words}"
            )
            if verdict.cause:
                self._log.say(verdict.cause)
            record = {"role": role, **metrics[role], **verdict.figures}
            self._log.record("eval", progress.step, record)
            self._show(role, progress.step, outcomes)
        # The verdicts compare with what `progress` held before, so it notes the evaluation last.
        progress.note_evaluation(metrics, config.best.role, config.eval.patience_min_gain)
        self._verdicts.note(progress)
        self.results.keep(self._outcomes, progress)

    def compile_ahead(
        self, state: TrainState | PackedState
    ) -> contextlib.AbstractContextManager[Any]:
        """Context in which the programs of the evaluation are compiled during the updates."""
        if not ahead.is_a_gain():
            return contextlib.nullcontext()
        networks, config = {}, self._setup.config
        for role in averages.scored(config):
            variables, sharding = devices.own_part(extract_role(state, role), self._setup.mesh)
            networks[id(self._predicts[role])] = self._predicts[role], variables
        paths = [sample.image_path for sample in self._validation]
        self._ahead = ahead.Ahead(networks.values(), paths, config.eval, sharding)
        return self._ahead

    def _await_programs(self):
        running, self._ahead = self._ahead, None
        if running is None:
            return
        if not running.is_done():
            self._log.say("waiting for the evaluation's programs to be compiled")
        failure = running.wait()
        if failure:
            self._log.say(f"the evaluation's programs were not compiled ahead: {failure}")

    def conclude(self, progress: Progress) -> None:
        """Logs the likely cause if the whole run gained nothing."""
        cause = self._verdicts.conclude(progress)
        if cause:
            self._log.say(cause)

    @property
    def images_of_evaluation(self) -> int:
        """Number of images in one evaluation, over all roles."""
        return len(self._validation) * len(averages.scored(self._setup.config))

    def _show(self, role, step, outcomes):
        """Gives the writers the first images with predictions and labels."""
        if self._log.takes_pictures:
            few = outcomes[: self._setup.config.log.pictures]
            for index, row in enumerate(draw_rows(few, PICTURE_WIDTH)):
                self._log.picture(f"predictions/{role}/{index}", step, row)

    def hmean(self, progress: Progress) -> float | None:
        """Hmean of the best role for the current state; None if it was not evaluated."""
        if not progress.evaluated:
            return None
        return progress.metrics[self._setup.config.best.role]["hmean"]


def is_same(one: Any, other: Any) -> bool:
    """Whether two trees of arrays are equal in every value."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def share_predicts(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """`{role: inference function}`; roles with equal networks share one, compiled once."""
    by_network: dict[str, Any] = {}
    return {
        role: by_network.setdefault(
            str(network), make_predict(build_detector(network, config.dtype), config.precision)
        )
        for role, network in config.roles.items()
    }
