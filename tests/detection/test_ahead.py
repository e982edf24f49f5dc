"""What is compiled ahead is what an evaluation runs, and a failure is no end."""

import json
import types

import cv2
import jax
import numpy as np
import pytest
from tiny import draw_data, load_config, write_config

from ppocr_jax import devices
from ppocr_jax.detection import ahead
from ppocr_jax.detection.ahead import Ahead
from ppocr_jax.detection.inference import predict_files
from ppocr_jax.timing.compilations import Watch
from ppocr_jax.training import judge
from ppocr_jax.training.loop import train


def test_an_evaluation_compiles_nothing_again(tmp_path):
    config = load_config(write_config(tmp_path, tmp_path), "eval.limit_side=32").eval
    config.shared_shapes, config.batch_size = 64, 2
    files = []
    for index, (height, width) in enumerate([(40, 60), (64, 64), (90, 33), (200, 64)]):
        files.append((index, str(tmp_path / f"{index}.png")))
        cv2.imwrite(files[-1][1], np.full((height, width, 3), 99, np.uint8))
    mesh = devices.mesh_of(jax.devices()[:1])
    weights, sharding = devices.replicate({"w": np.ones(3, np.float32)}, mesh), devices.split(mesh)
    predict = jax.jit(lambda weights, image, area=None: image @ weights["w"])

    def programs(files):
        with Watch() as watch:
            found = list(predict_files(predict, weights, files, config, sharding))
        assert all(item.shrink_map is not None for item in found)
        return watch.programs

    paths = [tmp_path / "missing.png", *(path for _, path in files[:3])]
    with Ahead([(predict, weights)], paths, config, sharding) as running:
        assert running.wait() == ""
    assert programs(files[:3]) == 0
    assert programs(files[3:]) == 1  # of a shape that was not among them


def test_a_closed_one_begins_no_further_program(tmp_path):
    class Predict:
        calls = 0

        def lower(self, *_):
            self.calls += 1
            running.__exit__()
            return jax.jit(lambda: 0).lower()

    config = load_config(write_config(tmp_path, tmp_path)).eval
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((64, 64, 3), np.uint8))
    predict = Predict()
    running = Ahead([(predict, {})] * 3, [tmp_path / "0.png"], config, None)
    running._thread.join = lambda: None  # of the thread itself, here
    running._run()
    assert predict.calls == 1 and running.wait() == ""


def test_waiting_and_failing_are_said_once():
    lines, scoring = [], object.__new__(judge.Judge)
    scoring._log = types.SimpleNamespace(say=lines.append)
    scoring._ahead = types.SimpleNamespace(is_done=lambda: False, wait=lambda: "no room")
    for _ in range(2):
        scoring._await_programs()
    assert [line.split(",")[0] for line in lines] == [
        "waiting for the evaluation's programs to be compiled",
        "the evaluation's programs were not compiled ahead: no room",
    ]


@pytest.mark.parametrize("failure", ["", pytest.param("no room", marks=pytest.mark.long)])
def test_a_run_evaluates_with_programs_made_ahead(tmp_path, monkeypatch, capsys, failure):
    draw_data(tmp_path / "data")
    config = load_config(write_config(tmp_path, tmp_path / "data"), "steps=2", "eval.every_steps=2")
    programs, evaluate = [], judge.evaluate

    def watched(*args):
        with Watch() as watch:
            found = evaluate(*args)
        programs.append(watch.programs)
        return found

    def fail(*_):
        raise RuntimeError(failure)

    assert not ahead.is_a_gain()  # on a CPU
    monkeypatch.setattr(ahead, "is_a_gain", lambda: True)
    monkeypatch.setattr(judge, "evaluate", watched)
    if failure:
        monkeypatch.setattr(ahead, "plan_passes", fail)
    train(config, tmp_path / "run")
    assert programs == [1 if failure else 0]
    said = f"the evaluation's programs were not compiled ahead: RuntimeError: {failure}"
    assert (said in "".join(capsys.readouterr())) == bool(failure)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert sum(json.loads(line)["kind"] == "eval" for line in lines) == 1
