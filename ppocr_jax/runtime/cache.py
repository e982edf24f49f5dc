"""Where things are kept between runs: downloaded weights, compiled programs."""

import os
import pathlib

import pooch


def cache_folder():
    """The folder of what is kept between runs: downloaded weights, compiled programs."""
    named = os.environ.get("PPOCR_JAX_CACHE")
    return pathlib.Path(named or pooch.os_cache("ppocr_jax")).expanduser()
