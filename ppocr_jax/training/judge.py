"""Scoring the roles of a state while a run goes on."""

import contextlib

import jax
import numpy as np

from ppocr_jax import averages, devices
from ppocr_jax.detection import ahead
from ppocr_jax.detection.network import make_predict
from ppocr_jax.models.detector import build_detector
from ppocr_jax.pages.pictures import draw_rows
from ppocr_jax.scoring.evaluation import evaluate, explain
from ppocr_jax.training.showing import Results
from ppocr_jax.training.state import extract_role
from ppocr_jax.training.verdict import Verdicts

PICTURE_WIDTH = 800  # pixels of a pair that writers get: each takes about 100 kB


class Judge:
    """Evaluates every role that learns, and the averages of them, on the validation split.

    Args:
        setup: `start.Setup`.
        validation: list of `data.labels.Sample`.
        log: `RunLog`.
        training: `data.training_split.Training`.
        workdir: of the run.

    Attributes:
        results: what the run shows at its end.
    """

    def __init__(self, setup, validation, log, training, workdir):
        self._setup, self._validation, self._log = setup, validation, log
        self._verdicts = Verdicts(setup.config, training, len(validation))
        self._predicts = share_predicts(setup.config)
        self._outcomes = []  # of the best role at the last evaluation
        self._ahead = None  # what compiles for this while the updates run
        self.results = Results(setup.config, setup.mesh, self._predicts, validation, log, workdir)

    def __call__(self, state, progress):
        """Scores the weights of `state`, says and records it, and notes it in `progress`."""
        config, metrics, scored = self._setup.config, {}, {}
        self._await_programs()
        for role in averages.scored(config):
            variables, sharding = devices.own_part(extract_role(state, role), self._setup.mesh)
            known = scored.get(averages.followed(role))
            if known and is_same(variables, known[0]):  # before the first update, for example
                metrics[role], outcomes = dict(metrics[averages.followed(role)]), known[1]
            else:
                metrics[role], outcomes = evaluate(
                    self._predicts[role], variables, self._validation, config, sharding
                )
            scored[role] = variables, outcomes
            if role == config.best.role:
                self._outcomes = outcomes
            verdict = self._verdicts(progress, role, variables, metrics[role], outcomes)
            self._log.say(
                f"evaluated {role} at step {progress.step}: {explain(metrics[role])}{verdict.words}"
            )
            if verdict.cause:
                self._log.say(verdict.cause)
            record = {"role": role, **metrics[role], **verdict.figures}
            self._log.record("eval", progress.step, record)
            self._show(role, progress.step, outcomes)
        progress.note_evaluation(metrics, config.best.role, config.eval.patience_min_gain)
        self._verdicts.note(progress)
        self.results.keep(self._outcomes, progress)

    def compile_ahead(self, state):
        """Has the programs of the evaluations made while the updates run; for a `with`."""
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
            self._log.say("waiting for the evaluation's programs, which are being compiled")
        failure = running.wait()
        if failure:
            self._log.say(f"the evaluation's programs were not compiled ahead: {failure}")

    def conclude(self, progress):
        """Says why a run gained nothing, at its end."""
        cause = self._verdicts.conclude(progress)
        if cause:
            self._log.say(cause)

    @property
    def images_of_evaluation(self):
        """How many are run at each evaluation, over all roles."""
        return len(self._validation) * len(averages.scored(self._setup.config))

    def _show(self, role, step, outcomes):
        """Gives the writers pictures of the first images."""
        if self._log.takes_pictures:
            few = outcomes[: self._setup.config.log.pictures]
            for index, row in enumerate(draw_rows(few, PICTURE_WIDTH)):
                self._log.picture(f"predictions/{role}/{index}", step, row)

    def hmean(self, progress):
        """Of the best role, for the state that is about to be saved; None where it has no score."""
        if not progress.evaluated:
            return None
        return progress.metrics[self._setup.config.best.role]["hmean"]


def is_same(one, other):
    """Whether two trees of arrays hold the same values."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def share_predicts(config):
    """One compiled inference function per network, however many roles have it: `{role: ...}`."""
    by_network = {}
    return {
        role: by_network.setdefault(
            str(network), make_predict(build_detector(network, config.dtype), config.precision)
        )
        for role, network in config.roles.items()
    }
