"""Makes the `config.json` that a run left in its workdir, or an exported file, a config again.

It has the form of a config file: `--config ppocr_jax/saved_config.py:runs/x/config.json`.
"""

import json

import ml_collections

from ppocr_jax.onnx_files.session import read_metadata


def get_config(path):
    """The config of a run or of an ONNX file; JSON's lists become the tuples they were."""
    if path.endswith(".onnx"):
        return ml_collections.ConfigDict(with_tuples(read_metadata(path)["config"]))
    with open(path, encoding="utf-8") as file:
        return ml_collections.ConfigDict(with_tuples(json.load(file)))


def with_tuples(value):
    """`value` with every list as a tuple."""
    if isinstance(value, dict):
        return {key: with_tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(with_tuples(item) for item in value)
    return value
