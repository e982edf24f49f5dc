"""The report: a page that needs no other file, with pictures of every match and error."""

import base64
import json
import types

import cv2
import numpy as np
import pytest
from outcomes import EVIL, bar, four_outcomes, make_outcome, map_of
from strict_page import browse, check_alone
from tiny import draw_data, load_config, write_config

from ppocr_jax import evaluate
from ppocr_jax.detection.inference import Predicted
from ppocr_jax.detection.network import Network
from ppocr_jax.pages import mistakes, report
from ppocr_jax.scoring import evaluation, sweep
from ppocr_jax.scoring.mistakes import name_kinds


@pytest.fixture(scope="module")
def outcomes():
    return four_outcomes()


def test_most_errors_come_first(outcomes):
    worst = mistakes.find_worst(outcomes, 12)
    assert [o.sample.image_path for o in worst] == ["first.png", EVIL, "blank.png"]
    assert [mistakes.count_errors(o) for o in worst] == [(1, 1), (2, 0), (0, 1)]
    assert mistakes.find_worst(outcomes, 1) == worst[:1] and mistakes.find_worst(outcomes, 0) == []


def test_a_picture_shows_what_became_of_every_polygon(tmp_path):
    path = str(tmp_path / "grey.png")
    cv2.imwrite(path, np.zeros((200, 200, 3), np.uint8))
    shrink_map = map_of(
        (20, 20, 60, 16, 0.9), (120, 120, 60, 20, 0.9), (40, 90, 9, 9, 0.9), side=200
    )
    labels = [bar(10, 12, 80, 32), bar(10, 150, 60, 20), bar(20, 70, 50, 50)]
    outcome = make_outcome(labels, [False, False, True], shrink_map, (200, 200), path)
    assert outcome.matches.truth == ["matched", "missed", "ignored"]
    assert sorted(outcome.matches.found) == ["false", "ignored", "matched"]
    picture = mistakes.draw_errors(outcome, name_kinds(outcome))
    assert picture.shape == (800, 800, 3)  # a small image is enlarged four times

    def style_at(polygon):
        x, y = (4 * (polygon[1] + polygon[2]) / 2).astype(int)  # the middle of the right side
        colour = picture[y - 2 : y + 3, x - 2 : x + 3, ::-1].max((0, 1))  # on black
        return min(mistakes.STYLES, key=lambda style: abs(colour - mistakes.STYLES[style][0]).sum())

    for polygon, status in zip(labels, outcome.matches.truth, strict=True):
        assert style_at(polygon) == f"label {status}"
    for polygon, status in zip(outcome.polygons, outcome.matches.found, strict=True):
        expected = "label ignored" if status == "ignored" else f"found {status}"
        assert style_at(polygon) == expected


@pytest.fixture
def config(tmp_path):
    return load_config(write_config(tmp_path, draw_data(tmp_path / "data")))


def write(path, outcomes, config, **arguments):
    swept = sweep.Sweep(config.postprocess, ["thresh=0.2", "box_thresh=0.6", "unclip_ratio=1.5"])
    for index, outcome in enumerate(outcomes):
        swept.add(index, outcome.sample, Predicted(0, None, (0, 0)))
    rows = np.array([outcome.row() for outcome in outcomes], np.float32)
    metrics = {**evaluation.summary(rows, 2.0), "role": "student", "weights": "w/<x>.pdparams"}
    report.write_report(path, metrics, outcomes, config, swept.result(), **arguments)
    return check_alone(path.read_text(encoding="utf-8"))


def test_page(outcomes, config, tmp_path):
    page = write(tmp_path / "page.html", outcomes, config, loaded="hash <1>")
    assert "Weights w/<x>.pdparams (hash <1>), images of val.txt" in page.text
    assert "Of 5 labelled words, 2 were found (recall)." in page.text
    assert "Of 4 boxes, 2 are on a word (precision); the other 2 are false." in page.text
    assert "Labels that are marked to be ignored (1) and boxes inside" in page.text
    assert "could not be read, whose words count as missed: 1." in page.text
    assert f"{EVIL}: not an image" in page.text
    assert "most errors: the worst 3" in page.text and "processes" not in page.text
    assert "1. 1 missed, 1 false ; 2 of 3 words found, ignored labels: 1." in page.text
    assert '"box_type": "quad"' in page.text
    svgs = [s for s in page.images() if s.startswith("data:image/svg+xml;base64,")]
    assert len(svgs) == 2 == len(page.images())  # none of the images is there to be shown
    assert all(b"</svg>" in base64.b64decode(s.partition(",")[2]) for s in svgs)
    again = write(tmp_path / "again.html", outcomes, config, loaded="hash <1>")
    assert again.images() == page.images()
    few = write(tmp_path / "few.html", outcomes, config, worst=1)
    assert "most errors: the worst 1" in few.text and "blank.png" not in few.text


def test_page_in_a_browser(outcomes, config, tmp_path):
    write(tmp_path / "page.html", outcomes, config)
    said, dom = browse(tmp_path / "page.html")
    assert said == [] and "Evaluation of student" in dom


def test_page_of_one_process_of_several(outcomes, config, tmp_path, monkeypatch):
    processes = types.SimpleNamespace(process_index=lambda: 0, process_count=lambda: 2)
    monkeypatch.setattr(report, "jax", processes)
    page = write(tmp_path / "page.html", outcomes, config)
    assert "only process 1, which saw 4 of 4 images" in page.text


def test_page_without_labels_boxes_and_errors(outcomes, config, tmp_path):
    page = write(tmp_path / "page.html", outcomes[:1], config)
    for line in ("no labelled words", "No boxes were found", "No image has an error"):
        assert line in page.text


def test_command_writes_a_page_per_role(tmp_path, monkeypatch, capsys):
    folder = draw_data(tmp_path / "data")
    (folder / EVIL).write_bytes(b"")
    labels = (folder / "val.txt").read_text().replace("val_1.png", EVIL)
    (folder / "val.txt").write_text(labels)
    path = write_config(tmp_path, folder, students=("student", "student2"))

    def predict(variables, image, area=None):
        grey = np.asarray(image).mean(-1)
        return np.stack([cv2.erode((g < 100).astype(np.float32), np.ones((7, 7))) for g in grey])

    network = Network(predict, None, None, "a stand-in")
    monkeypatch.setattr(evaluate, "open_network", lambda *arguments: network)
    options = ["--config", str(path), "--weights", "w.onnx", "--config.eval.limit_side=32"]
    options += ["--grid", "thresh=0.3", "box_thresh=0.6", "unclip_ratio=0.1,1.5"]
    assert evaluate.main([*options, "--report", str(tmp_path / "new" / "one")]) == 1
    metrics = json.loads(capsys.readouterr().out)
    page = check_alone((tmp_path / "new" / "one" / "report.html").read_text())
    assert 0 < metrics["boxes_matched"] < metrics["boxes_labelled"]
    assert f"{metrics['hmean']:.4f} hmean {metrics['precision']:.4f} precision" in page.text
    assert "sweep of 2 points" in page.text and EVIL in page.text
    evaluate.main([*options, "--report", str(tmp_path / "all"), "--role", "all", "--worst", "0"])
    assert len(capsys.readouterr().out.splitlines()) == 2
    for role in ("student", "student2"):
        page = check_alone((tmp_path / "all" / f"report_{role}.html").read_text())
        assert f"Evaluation of {role}" in page.text
