"""Evaluation: what cannot be read counts as missed; the command and its lines."""

import json

import numpy as np
import pytest
from tiny import draw_data, load_config, make_network, write_config

from ppocr_jax import evaluate
from ppocr_jax.data.labels import Sample
from ppocr_jax.detection.network import make_predict
from ppocr_jax.errors import UserError
from ppocr_jax.scoring import evaluation


@pytest.fixture(scope="module")
def network():
    return make_network()


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    folder = tmp_path_factory.mktemp("options")
    path = write_config(folder, folder)
    return lambda *overrides: load_config(path, "eval.limit_side=32", *overrides)


def test_an_image_without_labels_is_evaluated_and_a_lost_one_counts(network, options, tmp_path):
    draw_data(tmp_path)
    blank = Sample(str(tmp_path / "val_0.png"), (), (), "val.txt", 1)
    word = np.array([[0, 0], [20, 0], [20, 9], [0, 9]], np.float32)
    lost = Sample(str(tmp_path / "gone.png"), (word,), (False,), "val.txt", 2)
    metrics, outcomes = evaluation.evaluate(
        make_predict(network[0]), network[1], [blank, lost], options()
    )
    assert metrics["images"] == 2 and metrics["unreadable"] == 1
    assert metrics["boxes_labelled"] == 1 and metrics["recall"] == 0.0
    assert [bool(outcome.reason) for outcome in outcomes] == [False, True]
    assert json.loads(json.dumps(metrics)) == metrics
    assert "boxes found" in evaluation.explain(metrics)


def test_a_config_that_came_with_weights_makes_nothing(network, tmp_path, capsys, monkeypatch):
    """It asks for scenes over a file of the user, for a download, and for a report elsewhere."""
    from ppocr_jax import export, extract, predict
    from ppocr_jax.shipping.extraction import write_folder
    from ppocr_jax.weights import fetch

    def downloads(name):
        raise AssertionError(f"{name} would be downloaded")

    monkeypatch.setattr(fetch, "fetch", downloads)
    home, out = tmp_path / "home", tmp_path / "out"
    draw_data(home / "data")
    (home / "mine").write_text("mine")
    config = json.loads(load_config(write_config(tmp_path, home / "data")).to_json())
    config["data"]["draw"]["val"], config["data"]["val"] = 1, "../drawn"
    config["init_from"]["student"] = "MobileNetV3_large_x0_5_pretrained"
    meta = {"role": "student", "roles": ["student"], "config": config}
    write_folder(tmp_path / "student", network[1], meta)
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    weights = ["--weights", str(tmp_path / "student")]
    with pytest.raises(UserError, match="does not hold the 1 scenes.*such a config writes nothing"):
        evaluate.main([*weights, "--report", str(out / "report")])
    with pytest.raises(UserError, match="such a config writes nothing"):
        export.main([*weights, "--output", str(out / "x.onnx"), "--quantize"])
    images = ["--images", str(home / "data" / "val_0.png")]
    assert predict.main([*weights, *images, "--output", str(out / "found")]) == 0
    assert extract.main([*weights, "--output", str(out / "student")]) == 0
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before
    named = tmp_path / "student" / "config.json"
    with pytest.raises(UserError, match=r"\.\./drawn is not such a name"):
        evaluate.main(["--config", str(named), *weights])
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before


def test_command_in_process(network, options, tmp_path, capsys):
    from ppocr_jax.shipping.extraction import write_folder

    draw_data(tmp_path / "data")
    path = write_config(tmp_path, tmp_path / "data")
    config = load_config(path)
    meta = {"role": "student", "roles": ["student"], "config": json.loads(config.to_json())}
    write_folder(tmp_path / "student", network[1], meta)
    (tmp_path / "data" / "val_2.png").write_bytes(b"")
    arguments = ["--weights", str(tmp_path / "student")]
    assert evaluate.main(arguments) == 1  # one image could not be read
    printed = capsys.readouterr()
    assert "its words count as missed" in printed.err
    metrics = json.loads(printed.out.splitlines()[-1])
    assert metrics["unreadable"] == 1 and metrics["hmean"] == 0.0
    assert printed.err.count("likely cause: ") == 1  # the network has learned nothing
    with pytest.raises(UserError, match="--role teacher"):
        evaluate.main([*arguments, "--role", "teacher"])
    with pytest.raises(UserError, match="unknown config key crops"):
        evaluate.main([*arguments, "--config.crops=4"])
