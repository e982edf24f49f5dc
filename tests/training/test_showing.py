"""What is kept of the evaluations of a run, and shown at its end: the best state, not the last."""

import json
import types

import cv2
import numpy as np
import pytest
from outcomes import bar, make_outcome, map_of
from strict_page import check_alone
from tiny import load_config, write_config

from ppocr_jax.data.labels import Sample
from ppocr_jax.errors import UserError
from ppocr_jax.pages.pictures import FOUND
from ppocr_jax.scoring.evaluation import summary
from ppocr_jax.training import judge as judges
from ppocr_jax.training import showing
from ppocr_jax.training.judge import Judge
from ppocr_jax.training.progress import Progress
from ppocr_jax.training.records import RunLog
from ppocr_jax.training.showing import FOLDER
from ppocr_jax.training.verdict import Verdict

WORD = bar(10, 9, 60, 18)


class NoVerdicts:
    def __call__(self, progress, role, variables, metrics, outcomes):
        return Verdict("", {}, "")

    def note(self, progress):
        pass


class Run:
    """A run without a network: its evaluations find as many of three words as it is told."""

    def __init__(self, folder, monkeypatch):
        self.config = load_config(write_config(folder, folder))
        self.workdir, self.progress, self.loaded = folder / "run", Progress(), []
        self.workdir.mkdir()
        paths = [str(folder / f"{index}.png") for index in range(3)]
        for path in paths:
            cv2.imwrite(path, np.full((96, 96, 3), 200, np.uint8))
        self.samples = [Sample(path, (WORD,), (False,), "val.txt", 1) for path in paths]
        mesh = types.SimpleNamespace(local_mesh=None)
        self.setup = types.SimpleNamespace(config=self.config, mesh=mesh)
        monkeypatch.setattr(judges, "share_predicts", lambda config: {"student": None})
        monkeypatch.setattr(judges, "extract_role", lambda state, role: state)
        monkeypatch.setattr(judges, "Verdicts", lambda *_: NoVerdicts())
        monkeypatch.setattr(showing, "load_network", self.load)
        for module in (judges, showing):
            monkeypatch.setattr(module, "evaluate", self.evaluate)
        monkeypatch.setattr(judges.devices, "own_part", lambda tree, mesh: (tree, None))
        monkeypatch.setattr(judges.devices, "replicate", lambda tree, mesh: tree)
        monkeypatch.setattr(judges.devices, "split", lambda mesh: None)

    def judge(self, log):
        return Judge(self.setup, self.samples, log, None, self.workdir)

    def evaluate(self, predict, variables, samples, config, sharding=None):
        found = [map_of((14, 14, 52, 8, 0.95))] * variables + [map_of()] * 3
        outcomes = [
            make_outcome(s.polygons, s.ignore, shrink_map, path=s.image_path)
            for s, shrink_map in zip(samples, found, strict=False)
        ]
        return summary(np.array([o.row() for o in outcomes], np.float32), 1.0), outcomes

    def load(self, config, weights, role):
        self.loaded.append(weights)
        return None, 2, ""

    def __call__(self, *scores, again=True):
        """Evaluates at steps 0, 10, 20 ..., with a new judge for what follows, and shows."""
        with RunLog(self.workdir, 100, self.progress.step) as log:
            for words in scores:
                self.judge(log)(words, self.progress)
                self.progress.step += 10
            self.judge(log).results.show(self.progress, again)
        return check_alone((self.workdir / "results.html").read_text(encoding="utf-8"))

    def kept(self, name):
        images = json.loads((self.workdir / FOLDER / f"{name}.json").read_text())["images"]
        return [len(image["polygons"]) for image in images]


@pytest.fixture
def run(tmp_path, monkeypatch):
    return Run(tmp_path, monkeypatch)


def test_the_best_state_is_shown_and_not_the_last(run):
    page = run(1, 2, 0)
    assert run.kept("base") == [1, 0, 0] and run.kept("best") == [1, 1, 0] and not run.loaded
    assert "student, best hmean 0.8000 at step 10" in page.text and "+0.3000 gain" in page.text
    assert "1 of 3 images, most errors first" in page.text
    assert "the first is for the best checkpoint, the second for its base" in page.text
    picture = cv2.imread(str(run.workdir / "predictions.png"))
    height, width = picture.shape[0] // 3, picture.shape[1] // 2
    red = [(picture[i * height :][:height, width:] == FOUND).all(-1).any() for i in range(3)]
    assert red == [True, True, False]


def test_a_best_state_from_before_a_resume_is_shown(run):
    run(1, 2, 0, again=False)
    run.progress.best["more"] = "than a step and its hmean may be noted of it"
    assert "at step 10" in run(0).text and run.kept("best") == [1, 1, 0] and not run.loaded


def test_what_was_not_kept_is_scored_again(run, capfd):
    run(1, 2, 0)
    (run.workdir / FOLDER / "best.json").unlink()
    page = run(again=False)
    assert "the predictions of the best state are shown at the end of the run" in page.text
    page = run()
    assert run.loaded == [f"{run.workdir}/10"] and run.kept("best") == [1, 1, 0]
    assert "scored student of step 10 for the page" in capfd.readouterr().err
    assert "1 of 3 images, most errors first" in page.text


def test_a_best_state_that_cannot_be_read_is_said(run, monkeypatch):
    run(1, 2)
    (run.workdir / FOLDER / "best.json").write_text("{")

    def load(*_):
        raise UserError("state 10 is <damaged>")

    monkeypatch.setattr(showing, "load_network", load)
    assert "the best state cannot be shown: state 10 is <damaged>" in run().text


def test_a_page_that_fails_is_no_reason_for_a_run_to_fail(run, monkeypatch, capfd):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(showing, "save_predictions", fail)
    with RunLog(run.workdir, 100, 0) as log:
        judge = run.judge(log)
        judge(1, run.progress)
        judge.results.show(run.progress)
    assert "cannot write results.html: No space left on device" in capfd.readouterr().err


def test_a_run_that_was_stopped_early_has_a_page(run):
    assert "not evaluated yet" in run(again=False).text
