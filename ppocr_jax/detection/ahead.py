"""Compiles the programs of the next evaluation in a thread, while the device trains.

JAX keeps a program that was compiled this way in memory, and a later call of the same function uses
it. This pays only where compiling leaves the device free. On a CPU both would compete for the same
cores; and several processes on GPUs choose algorithms together, so they have to compile in the same
order.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np

from ppocr_jax.data.image_files import read_size
from ppocr_jax.data.resize import plan_size
from ppocr_jax.detection.inference import plan_passes
from ppocr_jax.detection.shapes import Shape
from ppocr_jax.errors import first_line
from ppocr_jax.timing.compilations import without_alarm


def is_a_gain() -> bool:
    """Whether compiling ahead pays on this machine: on the GPUs of a single process."""
    return jax.default_backend() == "gpu" and jax.process_count() == 1


class Ahead:
    """A context in which a thread compiles the programs of an evaluation, until all are done.

    Args:
        networks: pairs `(predict, variables)`, see `network.make_predict`. The variables are on
            their devices; only their shapes and shardings are kept.
        paths: the images of the evaluation, in its order.
        config: `config.eval`.
        sharding: of a batch of images, see `inference.predict_files`.
    """

    def __init__(
        self,
        networks: Iterable[tuple[jax.stages.Wrapped, Any]],
        paths: Sequence[str],
        config: ml_collections.ConfigDict,
        sharding: jax.sharding.Sharding | None,
    ) -> None:
        self._networks = [(predict, jax.tree.map(_place, tree)) for predict, tree in networks]
        self._paths, self._config, self._sharding = paths, config, sharding
        self._closed, self._failure = False, ""
        self._thread = threading.Thread(target=self._run, name="ahead", daemon=True)

    def __enter__(self) -> "Ahead":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Waits for the program being compiled: a process that exits meanwhile would crash."""
        self._closed = True
        self._thread.join()

    def is_done(self) -> bool:
        """Whether the thread has finished."""
        return not self._thread.is_alive()

    def wait(self) -> str:
        """Waits until all programs are compiled; returns why one could not be, or ""."""
        self._thread.join()
        return self._failure

    def _run(self):
        try:
            with without_alarm():
                for shape, size in plan_passes(self._sizes(), self._config, self._sharding):
                    for predict, variables in self._networks:
                        if self._closed:
                            return
                        predict.lower(variables, *self._batch(shape, size)).compile()
        except Exception as error:  # the evaluation will meet it too, and explain it
            self._failure = first_line(error)

    def _sizes(self) -> Iterator[tuple[int, int]]:
        """Heights and widths at which the network sees the images; skips unreadable ones."""
        limits = {key: self._config[key] for key in ("limit_side", "limit_type")}
        for path in self._paths:
            size = None if self._closed else read_size(path)
            if size:
                yield plan_size(*size, **limits)

    def _batch(self, shape: Shape, size: int) -> tuple[Any, Any]:
        """Shapes and dtypes of the images and the area that `predict` will be called with."""

        def place(shape, dtype):
            return jax.ShapeDtypeStruct(shape, dtype, sharding=self._sharding)

        images = place((size, shape.height, shape.width, 3), np.uint8)
        return images, place((size, 2), np.int32) if shape.shared else None


def _place(leaf: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
