"""Times measured on this machine, stored in the cache folder for the next run's estimates.

A convenience: if the file cannot be written or read, nothing is remembered and nothing fails.
"""

import hashlib
import json
import os
import time
from typing import Any

import jax

from ppocr_jax.errors import UserError
from ppocr_jax.files import read_json, write_json
from ppocr_jax.runtime.cache import cache_folder

NAME = "times.json"
MOST = 300  # entries; the least recently used go first


def make_key(**facts: Any) -> str:
    """A key for a measured time: equal facts on the same type of machine give the same key.

    Args:
        facts: everything that the time depends on, JSON types.
    """
    device = jax.devices()[0]
    facts |= {"jax": jax.__version__, "device": device.device_kind, "cores": os.cpu_count()}
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def recall(key: str) -> dict[str, float]:
    """The times stored under a key, `{name: seconds}`; {} if there are none."""
    entry = read().get(key, {})
    return {k: v for k, v in entry.items() if isinstance(v, int | float)} if entry else {}


def remember(key: str, **seconds: float) -> None:
    """Stores times under a key, beside those already there."""
    entries = read()
    entries[key] = {**recall(key), **seconds, "used": round(time.time())}
    newest = sorted(entries, key=lambda name: entries[name].get("used", 0))[-MOST:]
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        write_json(cache_folder() / NAME, {name: entries[name] for name in newest})
    except (OSError, UserError):
        pass


def read() -> dict[str, dict[str, Any]]:
    """Everything stored, by key."""
    try:
        entries = read_json(cache_folder() / NAME)
    except (OSError, UserError):
        return {}
    if not isinstance(entries, dict):
        return {}
    return {key: entry for key, entry in entries.items() if isinstance(entry, dict)}
