"""ONNX files: written, read back into weights, and run."""

PRODUCER = "ppocr_jax"  # by which a file that `export` wrote is known
