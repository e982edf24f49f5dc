"""How long things took on this machine last time, kept beside what else is kept between runs.

A convenience: where it cannot be written or read, nothing is remembered and nothing fails.
"""

import hashlib
import json
import os
import time

import jax

from ppocr_jax.errors import UserError
from ppocr_jax.files import read_json, write_json
from ppocr_jax.runtime.cache import cache_folder

NAME = "times.json"
MOST = 300  # entries; the longest unused go first


def make_key(**facts):
    """A name for what is timed: the same facts on the same kind of machine give the same name.

    Args:
        facts: JSON's types, all that the time depends on.
    """
    device = jax.devices()[0]
    facts |= {"jax": jax.__version__, "device": device.device_kind, "cores": os.cpu_count()}
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def recall(key):
    """`{name: seconds}` that was remembered under a key; {} where nothing was."""
    entry = read().get(key, {})
    return {k: v for k, v in entry.items() if isinstance(v, int | float)} if entry else {}


def remember(key, **seconds):
    """Adds times to what is remembered under a key."""
    entries = read()
    entries[key] = {**recall(key), **seconds, "used": round(time.time())}
    newest = sorted(entries, key=lambda name: entries[name].get("used", 0))[-MOST:]
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        write_json(cache_folder() / NAME, {name: entries[name] for name in newest})
    except (OSError, UserError):
        pass


def read():
    """All that is remembered, by key."""
    try:
        entries = read_json(cache_folder() / NAME)
    except (OSError, UserError):
        return {}
    if not isinstance(entries, dict):
        return {}
    return {key: entry for key, entry in entries.items() if isinstance(entry, dict)}
