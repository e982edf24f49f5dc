"""Scoring the roles of a state while a run goes on."""

from ppocr_jax import devices
from ppocr_jax.detection.network import make_predict
from ppocr_jax.models.detector import build_detector
from ppocr_jax.pages.pictures import save_predictions
from ppocr_jax.scoring.evaluation import evaluate, explain
from ppocr_jax.training.state import extract_role


class Judge:
    """Evaluates every role that learns on the validation split.

    Args:
        setup: `start.Setup`.
        validation: list of `data.labels.Sample`.
        log: `RunLog`.
    """

    def __init__(self, setup, validation, log):
        self._setup, self._validation, self._log = setup, validation, log
        self._predicts = share_predicts(setup.config)
        self._outcomes = []  # of the best role at the last evaluation

    def __call__(self, state, progress):
        """Scores the weights of `state`, says and records it, and notes it in `progress`."""
        config, metrics = self._setup.config, {}
        for role in config.trainable:
            variables, sharding = devices.own_part(extract_role(state, role), self._setup.mesh)
            metrics[role], outcomes = evaluate(
                self._predicts[role], variables, self._validation, config, sharding
            )
            if role == config.best.role:
                self._outcomes = outcomes
            self._log.say(f"evaluated {role} at step {progress.step}: {explain(metrics[role])}")
            self._log.record("eval", progress.step, {"role": role, **metrics[role]})
        progress.note_evaluation(metrics, config.best.role, config.eval.patience_min_gain)

    def hmean(self, progress):
        """Of the best role, for the state that is about to be saved; None where it has no score."""
        if not progress.evaluated:
            return None
        return progress.metrics[self._setup.config.best.role]["hmean"]

    def draw(self, path):
        """Writes a picture of what the best role found at the last evaluation, beside labels."""
        count = self._setup.config.eval.pictures
        if count and save_predictions(path, self._outcomes[:count]):
            self._log.say(f"predictions beside labels: {path}")


def share_predicts(config):
    """One compiled inference function per network, however many roles have it: `{role: ...}`."""
    by_network = {}
    return {
        role: by_network.setdefault(
            str(network), make_predict(build_detector(network, config.dtype))
        )
        for role, network in config.roles.items()
    }
