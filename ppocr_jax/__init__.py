"""Training, distillation and fine-tuning of the PP-OCRv3 text detector in JAX.

`from ppocr_jax import Detector` is the way from weights to boxes in Python.
"""

import importlib
import os
import sys

from ppocr_jax.runtime import interrupts

__version__ = "0.1.0"

# `-m` stands there until `python -m ppocr_jax.train` has found its module.
if os.path.basename((sys.argv or [""])[0]) in ("-m", "ppocr-jax"):
    interrupts.end_at_once()


def __getattr__(name):
    # The package itself has to come at once: JAX takes seconds.
    if name in ("Box", "Detector"):
        return getattr(importlib.import_module("ppocr_jax.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
