"""Makes the `config.json` that a run left in its workdir into a config again.

It has the form of a config file: `--config ppocr_jax/saved_config.py:runs/x/config.json`.
"""

import json

import ml_collections


def get_config(path):
    """The config of a run; JSON's lists become the tuples they were."""
    with open(path, encoding="utf-8") as file:
        return ml_collections.ConfigDict(with_tuples(json.load(file)))


def with_tuples(value):
    """`value` with every list as a tuple."""
    if isinstance(value, dict):
        return {key: with_tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(with_tuples(item) for item in value)
    return value
