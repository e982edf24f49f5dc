"""The MLflow writer with the real library, if it is installed."""

import numpy as np
import pytest

from ppocr_jax.training.records import RunLog

pytest.importorskip("mlflow", reason="mlflow is an extra: pip install 'ppocr_jax[mlflow]'")
pytest.importorskip("sqlalchemy")


def test_a_run_of_mlflow_goes_on_where_the_workdir_does(tmp_path, monkeypatch, capsys):
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    config = {"crop": 64, "data": {"root": "r" * 9000}, "roles": {"a:b": {"k": [1, 2]}}}
    (tmp_path / "run 1").mkdir()
    for first in (0, 2):
        with RunLog(tmp_path / "run 1", 9, first, writers=("mlflow",), config=config) as log:
            log.record("train", first + 1, {"mutual/student-student2": 0.5 + first})
            log.record("eval", first + 1, {"role": "student", "hmean": 0.25})
            log.picture("predictions/student/0", first + 1, np.zeros((8, 8, 3), np.uint8))
    assert capsys.readouterr().err == ""
    client = MlflowClient(f"sqlite:///{tmp_path}/run 1/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("ppocr_jax")
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "run 1" and run.info.status == "FINISHED"
    assert run.data.params["crop"] == "64" and len(run.data.params["data.root"]) == 500
    history = client.get_metric_history(run.info.run_id, "train/mutual/student-student2")
    assert [(m.step, m.value) for m in history] == [(1, 0.5), (3, 2.5)]
    assert run.data.metrics["eval/student/hmean"] == 0.25
    [folder] = (tmp_path / "run 1" / "mlflow" / "artifacts").glob("*/artifacts")
    assert {p.name for p in folder.iterdir()} == {"config-0.txt", "config-2.txt", "images"}
    assert len(list((folder / "images").iterdir())) == 4  # each in two sizes
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.relative_to(tmp_path).parts[0] for path in files} == {"run 1"}


def test_a_server_that_is_not_there_costs_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with RunLog(tmp_path, 9, writers=("mlflow",)) as log:
        log.record("train", 1, {"total": 0.5})
    lines = [x for x in capsys.readouterr().err.splitlines() if x.startswith("warning: log.")]
    assert len(lines) == 1 and "mlflow failed" in lines[0]
    assert (tmp_path / "metrics.jsonl").read_text().count("\n") == 1
