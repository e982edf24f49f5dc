"""ONNX files: writing them, reading weights back from them, and running them."""

PRODUCER = "ppocr_jax"  # the producer's name in files written by `export`
