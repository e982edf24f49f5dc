"""`results.html`: the best checkpoint's errors, the run's curves, commands with real paths."""

import json
import shlex

import pytest
from outcomes import EVIL, bar, four_outcomes, make_outcome, map_of
from strict_page import browse, check_alone
from tiny import draw_data, load_config, write_config

from ppocr_jax.pages import run_page
from ppocr_jax.pages.story import read_history


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("config")
    path = write_config(folder, draw_data(folder / "data", train=1, val=1))
    return load_config(path, "init_from.student=base weights/<s>.pdparams")


def write_records(workdir, scores=(0.5, 0.25, 0.625), losses=True):
    """Writes `metrics.jsonl` of a run of 20 steps, evaluated every 10."""
    workdir.mkdir(parents=True, exist_ok=True)
    records = [{"kind": "start", "step": 0, "devices": "1 x <cpu>", "jax": "0.0", "weights": {}}]
    for index, hmean in enumerate(scores):
        numbers = {"hmean": hmean, "precision": 0.5, "recall": 0.5}
        records.append({"kind": "eval", "step": 10 * index, "role": "student", **numbers})
    for step in range(2, 22, 2) if losses else ():
        terms = {"db/student/shrink": 1 / step, "total": 2 / step, "learning_rate": 1e-3}
        records.append({"kind": "train", "step": step, "epoch": 1, **terms})
    lines = [json.dumps({**record, "time": 0.0}) + "\n" for record in records]
    (workdir / "metrics.jsonl").write_text("".join(lines) + "not a record\n")


def write(workdir, config, best, base=None, chosen=None, notes=()):
    chosen = chosen or {"hmean": 0.625, "step": 20}
    run_page.write_results(workdir, config, chosen, read_history(workdir), best, base, notes)
    return check_alone((workdir / "results.html").read_text(encoding="utf-8"))


def test_page_of_a_run(tmp_path, config):
    workdir = tmp_path / "a 'run' <1>"
    write_records(workdir)
    merged = make_outcome(
        [bar(5, 9, 30, 14), bar(40, 9, 30, 14)], [False] * 2, map_of((9, 12, 58, 8, 0.9))
    )
    best, base = [*four_outcomes(), merged], [*four_outcomes()[:4], merged]
    page = write(workdir, config, best, base, notes=["a note <x>"])
    assert "a 'run' <1>: student, best hmean 0.6250 at step 20" in page.text
    assert "0.6250 hmean" in page.text and "0.5000 hmean of the base" in page.text
    assert "+0.1250 gain" in page.text and "a note <x>" in page.text
    assert "hmean would most likely be between 0." in page.text
    assert "The best checkpoint against its base: hmean +0.0000 (no image tells them" in page.text
    assert "1 false box and 2 missed words are merged" in page.text
    assert "1 line of metrics.jsonl cannot be read" in page.text
    assert "4 of 5 images" in page.text and "1. 2 missed, 1 false (1 false box" in page.text
    names = [attributes["aria-label"] for tag, attributes in page.tags if tag == "svg"]
    assert names == ["hmean over the steps", "total loss", "terms of the loss", "learning rate"]


def test_page_in_a_browser(tmp_path, config):
    write_records(tmp_path)
    write(tmp_path, config, four_outcomes(), notes=["a note <x>"])
    said, dom = browse(tmp_path / "results.html")
    assert said == [] and "a note &lt;x&gt;" in dom


def test_commands_have_the_real_paths(tmp_path, config, monkeypatch):
    monkeypatch.setattr("sys.argv", ["ppocr-jax train"])
    workdir = tmp_path / "a 'run'"
    write_records(workdir)
    history = read_history(workdir)
    commands = dict(run_page.suggest(workdir, config, 20, history))
    words = {what: shlex.split(command) for what, command in commands.items()}
    for found in words.values():
        assert found[0] == "ppocr-jax" and any(str(workdir) in word for word in found)
    run, base = str(workdir), "base weights/<s>.pdparams"
    assert ["ppocr-jax", "compare", run, base, "--report", f"{run}/compare"] in words.values()
    assert [
        "ppocr-jax", "train", "--config", f"{run}/config.json", "--workdir", f"{run}-further",
        f"--config.init_from.student={run}",
    ] in words.values()  # fmt: skip
    assert words["continue training, to twice the steps"][-3:] == [
        "--workdir",
        run,
        "--config.steps=40",
    ]
    history = read_history(tmp_path)
    early = [command for _, command in run_page.suggest(workdir, config, None, history)]
    assert not any("compare" in command for command in early)
    assert f"--weights {shlex.quote(run + '/latest')}" in early[0]


def test_page_without_an_evaluation_or_base(tmp_path, config):
    write_records(tmp_path, scores=(), losses=False)
    page = write(tmp_path, config, None, chosen={"hmean": -1.0, "step": -1})
    assert "not evaluated yet" in page.text and "has done 0 steps" in page.text
    assert "What the best checkpoint finds" not in page.text


def test_the_base_may_be_the_best(tmp_path, config):
    write_records(tmp_path, scores=(0.7, 0.5))
    chosen = {"hmean": 0.7, "step": 0}
    page = write(tmp_path, config, four_outcomes(), four_outcomes(), chosen)
    assert "no later checkpoint was better" in page.text
    assert "The best checkpoint is the base itself" in page.text and EVIL in page.text


def test_hundreds_of_images_make_no_endless_page(tmp_path, config):
    write_records(tmp_path)
    page = write(tmp_path, config, four_outcomes() * 100)
    assert f"{run_page.PICTURES} of 400 images" in page.text
    config = config.copy_and_resolve_references()
    config.eval.pictures = 0
    assert "0 of 400 images" in write(tmp_path, config, four_outcomes() * 100).text
