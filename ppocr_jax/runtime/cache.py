"""Where things are kept between runs: downloaded weights, compiled programs."""

import os
import pathlib

import pooch


def cache_folder():
    """The folder of what is kept between runs: downloaded weights, compiled programs."""
    return pathlib.Path(os.environ.get("PPOCR_JAX_CACHE") or pooch.os_cache("ppocr_jax"))
