"""A run of MLflow: in a database inside the workdir, or where MLFLOW_TRACKING_URI says."""

import contextlib
import logging
import os
import re
import time

from etils import epath

from ppocr_jax import files
from ppocr_jax.forms import flatten
from ppocr_jax.writers import NotInstalled

LONGEST = 500  # letters of a parameter's value
ABROAD = {  # unless the user has set them: nothing is sent elsewhere, no server holds up a run
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


class MLflowRun:
    """A `Writer`; a run that goes on goes on in the same run of MLflow.

    Values of updates that are done again are written again: they are the same ones.
    """

    def __init__(self, workdir, first_step, config):
        for name, value in ABROAD.items():
            os.environ.setdefault(name, value)
        client, self._entities = _import()
        with _quiet():
            self._open(client, workdir, config)

    def _open(self, client, workdir, config):
        self._folder = epath.Path(workdir).resolve() / "mlflow"
        self._folder.mkdir(parents=True, exist_ok=True)
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self._folder / 'mlflow.db'}"
        self._client = client(tracking_uri=uri)
        self._run = self._open_run(uri, config)

    def scalars(self, step, values):
        now = int(time.time() * 1000)
        metrics = [
            self._entities.Metric(_allowed(name), float(value), now, step)
            for name, value in values.items()
        ]
        self._client.log_batch(self._run, metrics=metrics)

    def text(self, step, name, text):
        self._client.log_text(self._run, text, f"{_allowed(name)}-{step}.txt")

    def image(self, step, name, picture):
        red_first = picture[..., ::-1].copy()
        key = _allowed(name).replace("/", "-")
        self._client.log_image(self._run, red_first, key=key, step=step, synchronous=True)

    def close(self):
        self._client.set_terminated(self._run)

    def _open_run(self, uri, config):
        """The id of the workdir's run, a new one where it has none there."""
        kept = self._folder / "run.json"
        known = files.read_json(kept) if kept.exists() else {}
        if known.get("tracking_uri") == uri:
            self._client.update_run(known["run_id"], status="RUNNING")
            return known["run_id"]
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "ppocr_jax"
        found = self._client.get_experiment_by_name(name)
        own = uri.startswith("sqlite:")  # whose files would lie in the current folder
        place = (self._folder / "artifacts").as_uri() if own else None
        experiment = found.experiment_id if found else self._client.create_experiment(name, place)
        run = self._client.create_run(experiment, run_name=self._folder.parent.name).info.run_id
        files.write_json(kept, {"tracking_uri": uri, "run_id": run})
        parameters = [
            self._entities.Param(_allowed(key), str(value)[:LONGEST])
            for key, value in flatten(config).items()
        ]
        for first in range(0, len(parameters), 100):  # as many as MLflow takes at once
            self._client.log_batch(run, params=parameters[first : first + 100])
        return run


def _import():
    """MLflow's client and its module of records.

    Raises:
        NotInstalled: it is missing.
    """
    try:
        import alembic  # noqa: F401  # what its database needs, which mlflow-skinny leaves out
        import sqlalchemy  # noqa: F401
        from mlflow import MlflowClient, entities
    except ImportError as error:
        raise NotInstalled(
            f"config.log.writers: mlflow needs a library that is not installed ({error}): "
            "pip install 'ppocr_jax[mlflow]', or pip install mlflow"
        ) from None
    return MlflowClient, entities


@contextlib.contextmanager
def _quiet():
    """Nothing but warnings is logged: MLflow and Alembic tell of every table that they make."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)


def _allowed(name):
    """A name with the letters that MLflow takes."""
    return re.sub(r"[^\w\-./ ]", "_", name)
