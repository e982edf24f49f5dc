"""The cache folder: downloaded weights, compiled programs, measured times."""

import os
import pathlib

import pooch


def cache_folder() -> pathlib.Path:
    """The cache folder: `PPOCR_JAX_CACHE`, else the user's. It may not exist yet."""
    named = os.environ.get("PPOCR_JAX_CACHE")
    return pathlib.Path(named or pooch.os_cache("ppocr_jax")).expanduser()
