"""Training, distillation and fine-tuning of the PP-OCRv3 text detector in JAX."""

__version__ = "0.1.0"
