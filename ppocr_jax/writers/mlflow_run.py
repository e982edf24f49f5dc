"""Writes to MLflow: to a database inside the workdir, or to the server in MLFLOW_TRACKING_URI."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from etils import epath

from ppocr_jax import files
from ppocr_jax.forms import flatten
from ppocr_jax.writers import NotInstalled

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

LONGEST = 500  # characters of a parameter's value that MLflow accepts
# Defaults that the user's environment overrides: no telemetry, and no long wait for a server.
ABROAD = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


class MLflowRun:
    """A `Writer` for MLflow; a resumed run continues the same MLflow run.

    Steps that are repeated after a resume are written again, with the same values.

    Args:
        workdir: folder of the run.
        first_step: not needed here, since MLflow keeps what is there.
        config: the run's config as nested dicts.

    Raises:
        NotInstalled: MLflow is not installed.
    """

    def __init__(self, workdir: epath.PathLike, first_step: int, config: Mapping[str, Any]) -> None:
        for name, value in ABROAD.items():
            os.environ.setdefault(name, value)
        client, self._entities = _import()
        with _quiet():
            self._open(client, workdir, config)

    def _open(self, client: Any, workdir: epath.PathLike, config: Mapping[str, Any]) -> None:
        self._folder = epath.Path(workdir).resolve() / "mlflow"
        self._folder.mkdir(parents=True, exist_ok=True)
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self._folder / 'mlflow.db'}"
        self._client = client(tracking_uri=uri)
        self._run = self._open_run(uri, config)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Logs numbers as metrics."""
        now = int(time.time() * 1000)  # milliseconds
        metrics = [
            self._entities.Metric(_allowed(name), float(value), now, step)
            for name, value in values.items()
        ]
        self._client.log_batch(self._run, metrics=metrics)

    def text(self, step: int, name: str, text: str) -> None:
        """Logs a text as an artifact `NAME-STEP.txt`."""
        self._client.log_text(self._run, text, f"{_allowed(name)}-{step}.txt")

    def image(self, step: int, name: str, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        """Logs an image in BGR order."""
        red_first = picture[..., ::-1].copy()
        key = _allowed(name).replace("/", "-")
        self._client.log_image(self._run, red_first, key=key, step=step, synchronous=True)

    def close(self) -> None:
        """Marks the run as finished."""
        self._client.set_terminated(self._run)

    def _open_run(self, uri: str, config: Mapping[str, Any]) -> str:
        """The id of the workdir's run at this server or database; a new run if it has none."""
        kept = self._folder / "run.json"
        known = files.read_json(kept) if kept.exists() else {}
        if known.get("tracking_uri") == uri:
            self._client.update_run(known["run_id"], status="RUNNING")
            return known["run_id"]
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "ppocr_jax"
        found = self._client.get_experiment_by_name(name)
        # With a database MLflow would put files into the current folder, so name one of our own.
        own = uri.startswith("sqlite:")
        place = (self._folder / "artifacts").as_uri() if own else None
        experiment = found.experiment_id if found else self._client.create_experiment(name, place)
        run = self._client.create_run(experiment, run_name=self._folder.parent.name).info.run_id
        files.write_json(kept, {"tracking_uri": uri, "run_id": run})
        parameters = [
            self._entities.Param(_allowed(key), str(value)[:LONGEST])
            for key, value in flatten(config).items()
        ]
        for first in range(0, len(parameters), 100):  # MLflow's limit per call
            self._client.log_batch(run, params=parameters[first : first + 100])
        return run


def _import() -> tuple[Any, Any]:
    """MLflow's client class and its module `entities`.

    Raises:
        NotInstalled: one of the libraries is missing.
    """
    try:
        import alembic  # noqa: F401  # needed for the database, but not installed by mlflow-skinny
        import sqlalchemy  # noqa: F401
        from mlflow import MlflowClient, entities
    except ImportError as error:
        raise NotInstalled(
            f"config.log.writers: mlflow needs a library that is not installed ({error}): "
            "pip install 'ppocr_jax[mlflow]', or pip install mlflow"
        ) from None
    return MlflowClient, entities


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Logs only warnings: MLflow and Alembic otherwise report every table that they create."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)


def _allowed(name: str) -> str:
    """A name with characters that MLflow does not accept replaced by `_`."""
    return re.sub(r"[^\w\-./ ]", "_", name)
