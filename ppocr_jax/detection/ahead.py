"""The programs of evaluations to come, compiled in a thread while the device learns.

A program that is compiled this way is the one that a later call of the same function runs: JAX
keeps it in memory. Only where compiling leaves the device free is that a gain: on a CPU both would
take the same cores, and several processes on GPUs settle algorithms together, in one order.
"""

import threading

import jax
import numpy as np

from ppocr_jax.data.image_files import read_size
from ppocr_jax.data.resize import plan_size
from ppocr_jax.detection.inference import plan_passes
from ppocr_jax.errors import first_line
from ppocr_jax.timing.compilations import without_alarm


def is_a_gain():
    """Whether to compile ahead here."""
    return jax.default_backend() == "gpu" and jax.process_count() == 1


class Ahead:
    """Compiles until it has all programs, or is closed; for a `with`.

    Args:
        networks: `(predict, variables)` pairs: see `network.make_predict`, with the variables on
            their devices, of which shapes and places alone are kept.
        paths: of the images of an evaluation, in its order.
        config: `config.eval`.
        sharding: of a batch of images, see `inference.predict_files`.
    """

    def __init__(self, networks, paths, config, sharding):
        self._networks = [(predict, jax.tree.map(_place, tree)) for predict, tree in networks]
        self._paths, self._config, self._sharding = paths, config, sharding
        self._closed, self._failure = False, ""
        self._thread = threading.Thread(target=self._run, name="ahead", daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        """Ends after the program in hand: a process that goes down meanwhile would crash."""
        self._closed = True
        self._thread.join()

    def is_done(self):
        """Whether nothing is left to wait for."""
        return not self._thread.is_alive()

    def wait(self):
        """Until all programs are there; what kept one from being compiled, or ""."""
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
        except Exception as error:  # the evaluation meets the same one, and says what it means
            self._failure = first_line(error)

    def _sizes(self):
        """Heights and widths at which images run; those of unreadable ones are left out."""
        limits = {key: self._config[key] for key in ("limit_side", "limit_type")}
        for path in self._paths:
            size = None if self._closed else read_size(path)
            if size:
                yield plan_size(*size, **limits)

    def _batch(self, shape, size):
        """Shapes of what `predict` is called with: images, and the area that each fills."""

        def place(shape, dtype):
            return jax.ShapeDtypeStruct(shape, dtype, sharding=self._sharding)

        images = place((size, shape.height, shape.width, 3), np.uint8)
        return images, place((size, 2), np.int32) if shape.shared else None


def _place(leaf):
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
