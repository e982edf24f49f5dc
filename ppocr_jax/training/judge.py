"""Scoring the roles of a state while a run goes on, and showing what the best one finds."""

import jax
import numpy as np

from ppocr_jax import devices
from ppocr_jax.detection.network import load_network, make_predict
from ppocr_jax.errors import UserError
from ppocr_jax.errors import explain as explain_error
from ppocr_jax.models.detector import build_detector
from ppocr_jax.pages.pictures import save_predictions
from ppocr_jax.scoring import kept
from ppocr_jax.scoring.evaluation import evaluate, explain
from ppocr_jax.training.state import extract_role

FOLDER = "evaluations"  # of the workdir: what the base and the best state found


class Judge:
    """Evaluates every role that learns on the validation split.

    Args:
        setup: `start.Setup`.
        validation: list of `data.labels.Sample`.
        log: `RunLog`.
        workdir: of the run.
    """

    def __init__(self, setup, validation, log, workdir):
        self._setup, self._validation, self._log = setup, validation, log
        self._predicts = share_predicts(setup.config)
        self._workdir = workdir

    def __call__(self, state, progress):
        """Scores the weights of `state`, says and records it, and notes it in `progress`."""
        config, metrics, found = self._setup.config, {}, []
        for role in config.trainable:
            variables, sharding = devices.own_part(extract_role(state, role), self._setup.mesh)
            metrics[role], outcomes = evaluate(
                self._predicts[role], variables, self._validation, config, sharding
            )
            if role == config.best.role:
                found = outcomes
            self._log.say(f"evaluated {role} at step {progress.step}: {explain(metrics[role])}")
            self._log.record("eval", progress.step, {"role": role, **metrics[role]})
        progress.note_evaluation(metrics, config.best.role)
        self._keep(found, progress)

    def hmean(self, progress):
        """Of the best role, for the state that is about to be saved; None where it has no score."""
        if not progress.evaluated:
            return None
        return progress.metrics[self._setup.config.best.role]["hmean"]

    def _keep(self, outcomes, progress):
        """Keeps what the weights found that the run began with, or the best ones so far."""
        step = progress.step
        names = [name for name, at in (("base", 0), ("best", progress.best["step"])) if at == step]
        if names:
            outcomes = kept.collect(outcomes, self._validation)
        for name in names:
            self._write(name, step, self.hmean(progress), outcomes)

    def _write(self, name, step, hmean, outcomes):
        if jax.process_index() == 0:
            path = self._workdir / FOLDER / f"{name}.json"
            kept.write(path, self._setup.config.best.role, step, hmean, outcomes)

    def _read(self, name, step, hmean):
        path, role = self._workdir / FOLDER / f"{name}.json", self._setup.config.best.role
        return kept.read(path, role, step, hmean, self._validation)

    def _find_best(self, progress):
        """Outcomes of the best state, which is read and scored again where they were not kept."""
        step, hmean = progress.best["step"], progress.best["hmean"]
        outcomes = self._read("best", step, hmean)
        if devices.gather(np.array([outcomes is not None], np.int32)).all():
            return outcomes
        config, role = self._setup.config, self._setup.config.best.role
        own = self._setup.mesh.local_mesh
        variables = load_network(config, f"{self._workdir}/{step}", role)[1]
        metrics, outcomes = evaluate(
            self._predicts[role],
            devices.replicate(variables, own),
            self._validation,
            config,
            devices.split(own),
        )
        self._log.say(f"scored {role} of step {step} again, for the page: {explain(metrics)}")
        outcomes = kept.collect(outcomes, self._validation)
        self._write("best", step, metrics["hmean"], outcomes)
        return outcomes

    def show(self, progress, again=True):
        """Writes `results.html` and `predictions.png`, both of the best state.

        What keeps them from being written is said, and is no reason for a run to fail.

        Args:
            progress: of the run.
            again: whether the best state may be scored again, which takes minutes.
        """
        evaluated, notes = progress.best["step"] >= 0, []
        try:
            if evaluated and again:
                best = self._find_best(progress)
            else:
                best = self._read("best", **progress.best) if evaluated else None
        except UserError as error:
            best = None
            notes.append(f"the best state cannot be shown: {error}")
        if evaluated and best is None and not notes:
            notes.append("what the best state found is shown at the end of the run")
        if jax.process_index() != 0:  # one file, of which all would make one of the same name
            return
        try:
            self._write_pages(progress, best, notes)
        except Exception as error:  # a full disk; the states and records are whole
            self._log.say(
                f"warning: {self._workdir}: no page of the results: {explain_error(error)}"
            )

    def _write_pages(self, progress, best, notes):
        from ppocr_jax.pages import run_page  # Jinja, which a run needs once
        from ppocr_jax.pages.story import read_history

        config = self._setup.config
        pictured = (best or [])[: config.eval.pictures]
        path = self._workdir / "predictions.png"
        if pictured and save_predictions(path, pictured):
            self._log.say(f"the best state's predictions beside labels: {path}")
        history = read_history(self._workdir)
        scored = history.base(config.best.role)
        base = self._read("base", 0, scored["hmean"]) if scored else None
        run_page.write_results(self._workdir, config, progress.best, history, best, base, notes)
        self._log.say(f"the results, and what to type next: {self._workdir / run_page.NAME}")


def share_predicts(config):
    """One compiled inference function per network, however many roles have it: `{role: ...}`."""
    by_network = {}
    return {
        role: by_network.setdefault(
            str(network), make_predict(build_detector(network, config.dtype))
        )
        for role, network in config.roles.items()
    }
