"""The recorded cases: their weights, and how their passes are compiled."""

import zlib

import jax
import numpy as np

from ppocr_jax.runtime.compiler import known_options
from ppocr_jax.runtime.platform import platform
from ppocr_jax.weights.pdparams import read_pdparams


def make_arrays(names, published=None, drop=""):
    """Arrays by Paddle name from the content of a `names_*.json`.

    Args:
        names: `{"salt", "params": [{"name", "shape", "init", ...}]}`.
        published: path of the published student's `.pdparams`, for entries that start from it.
        drop: a prefix that is part of the rule's names but not of the state-dict's.
    """
    source = read_pdparams(str(published)) if published else {}
    arrays = {}
    for entry in names["params"]:
        name = entry["name"]
        seed = zlib.crc32((names["salt"] + name).encode())
        noise = np.random.RandomState(seed).standard_normal(entry["shape"]).astype(np.float32)
        plain = name.split(".", 1)[1] if name.startswith(("Student", "Teacher")) else name
        if entry["init"] == "rule":
            noise = abs(noise) if entry["abs"] else noise
            value = np.float32(entry["offset"]) + np.float32(entry["scale"]) * noise
        elif entry["init"] == "published":
            value = source[plain]
        else:
            value = source[plain] * (np.float32(1) + np.float32(0.02) * noise)
        arrays[name.removeprefix(drop)] = value
    return arrays


def needs_published(names):
    """Whether some entry starts from the published student."""
    return any(entry["init"] != "rule" for entry in names["params"])


def relative_l2(actual, expected):
    """|actual - expected| / |expected| over all elements."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    return np.linalg.norm(actual - expected) / max(np.linalg.norm(expected), 1e-30)


def jit_in_form(function, **options):
    """`jax.jit`, without YNNPACK where a function is traced in the forms of a GPU.

    On a CPU, YNNPACK of jaxlib 0.10.2 computes the head's form for GPUs wrongly.
    """
    without = known_options({"xla_cpu_experimental_ynn_fusion_type": ""})
    own, gpus = jax.jit(function, **options), jax.jit(function, compiler_options=without, **options)
    return lambda *arguments: (gpus if platform() == "gpu" else own)(*arguments)
