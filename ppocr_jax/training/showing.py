"""The results page of a run, written at its end or when it stops: about its best state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import ml_collections
import numpy as np
from etils import epath
from jax.sharding import Mesh

from ppocr_jax import devices
from ppocr_jax.detection.network import load_network
from ppocr_jax.errors import UserError
from ppocr_jax.errors import explain as explain_error
from ppocr_jax.pages.pictures import save_predictions
from ppocr_jax.scoring import kept
from ppocr_jax.scoring.evaluation import evaluate, explain

if TYPE_CHECKING:
    from ppocr_jax.data.sample import Sample
    from ppocr_jax.training.progress import Progress
    from ppocr_jax.training.records import RunLog

FOLDER = "evaluations"  # in the workdir: what the base and the best state found


class Results:
    """Stores what the base and the best state found, and writes pages about it.

    Args:
        config: a whole config.
        mesh: the devices.
        predicts: `{role: inference function}`.
        validation: the validation set.
        log: takes lines.
        workdir: folder of the run.
    """

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        mesh: Mesh,
        predicts: Mapping[str, Any],
        validation: Sequence[Sample],
        log: RunLog,
        workdir: epath.Path,
    ) -> None:
        self._config, self._role, self._mesh = config, config.best.role, mesh
        self._predict = predicts[self._role]
        self._validation, self._log, self._workdir = validation, log, workdir

    def keep(self, outcomes: list[Any], progress: Progress) -> None:
        """Stores the outcomes of the best role if the state is the first or the best so far.

        Args:
            outcomes: of this process, from the evaluation that `progress` has just noted.
            progress: of the run.
        """
        step = progress.step
        names = [name for name, at in (("base", 0), ("best", progress.best["step"])) if at == step]
        if names:
            outcomes = kept.collect(outcomes, self._validation)
        for name in names:
            self._write(name, step, progress.metrics[self._role]["hmean"], outcomes)

    def _write(self, name, step, hmean, outcomes):
        if jax.process_index() == 0:
            path = self._workdir / FOLDER / f"{name}.json"
            kept.write(path, self._role, step, hmean, outcomes)

    def _read(self, name, step, hmean):
        path = self._workdir / FOLDER / f"{name}.json"
        return kept.read(path, self._role, step, hmean, self._validation)

    def show(self, progress: Progress, again: bool = True) -> None:
        """Writes `results.html` and `predictions.png`.

        A failure is logged and does not end the run.

        Args:
            progress: of the run.
            again: whether to evaluate the best state again if its outcomes were not stored; that
                takes minutes.
        """
        best, notes = None, []
        step, hmean = progress.best["step"], progress.best["hmean"]
        if step >= 0:
            try:
                best = self._find_best(step, hmean) if again else self._read("best", step, hmean)
            except UserError as error:
                notes.append(f"the best state cannot be shown: {error}")
            if best is None and not notes:
                notes.append("the predictions of the best state are shown at the end of the run")
        if jax.process_index() == 0:  # all processes share the workdir
            try:
                self._write_pages(progress, best, notes)
            except Exception as error:  # a full disk, say; checkpoints and records are whole
                reason = explain_error(error)
                self._log.say(f"warning: {self._workdir}: cannot write results.html: {reason}")

    def _find_best(self, step, hmean):
        """Outcomes of the best state; it is evaluated again if they were not stored."""
        outcomes = self._read("best", step, hmean)
        if devices.gather(np.array([outcomes is not None], np.int32)).all():
            return outcomes
        variables = load_network(self._config, f"{self._workdir}/{step}", self._role)[1]
        own = self._mesh.local_mesh
        metrics, outcomes = evaluate(
            self._predict,
            devices.replicate(variables, own),
            self._validation,
            self._config,
            devices.split(own),
        )
        self._log.say(f"scored {self._role} of step {step} for the page: {explain(metrics)}")
        outcomes = kept.collect(outcomes, self._validation)
        self._write("best", step, metrics["hmean"], outcomes)
        return outcomes

    def _write_pages(self, progress, best, notes):
        from ppocr_jax.pages import run_page  # imports Jinja, needed once a run
        from ppocr_jax.pages.story import read_history

        pictured = (best or [])[: self._config.eval.pictures]
        path = self._workdir / "predictions.png"
        if pictured and save_predictions(path, pictured):
            self._log.say(f"the best state's predictions beside labels: {path}")
        history = read_history(self._workdir)
        scored = history.base(self._role)
        base = self._read("base", 0, scored["hmean"]) if scored else None
        run_page.write_results(
            self._workdir, self._config, progress.best, history, best, base, notes
        )
        self._log.say(f"the results, and what to type next: {self._workdir / run_page.NAME}")
