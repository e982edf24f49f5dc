"""Training, distillation and fine-tuning of the PP-OCRv3 text detector in JAX."""

import sys

from ppocr_jax.runtime import interrupts

__version__ = "0.1.0"

if sys.argv[:1] == ["-m"]:  # so until `python -m ppocr_jax.train` has found its module
    interrupts.end_at_once()
