"""Training, distillation and fine-tuning of the PP-OCRv3 text detector in JAX.

`from ppocr_jax import Detector` gives a detector for use in Python.
"""

import importlib
import os
import sys
from typing import Any

from ppocr_jax.runtime import interrupts

__version__ = "1.0.0"

# For `python -m ppocr_jax.train`, sys.argv[0] is "-m" while the package is imported.
if os.path.basename((sys.argv or [""])[0]) in ("-m", "ppocr-jax"):
    interrupts.end_at_once()


def __getattr__(name: str) -> Any:
    # Lazy: importing JAX takes seconds, and `ppocr-jax --help` needs only the package.
    if name in ("Box", "Detector"):
        return getattr(importlib.import_module("ppocr_jax.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
