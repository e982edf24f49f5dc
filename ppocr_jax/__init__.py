"""Training, distillation and fine-tuning of the PP-OCRv3 text detector in JAX."""

import os
import sys

from ppocr_jax.runtime import interrupts

__version__ = "0.1.0"

# `-m` stands there until `python -m ppocr_jax.train` has found its module.
if os.path.basename((sys.argv or [""])[0]) in ("-m", "ppocr-jax"):
    interrupts.end_at_once()
