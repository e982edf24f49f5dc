"""Versions whose updates are not bit-identical to those of the version before."""

import re
from collections.abc import Mapping
from typing import Any

from ppocr_jax import __version__
from ppocr_jax.runtime.platform import platform

# {version: what changed}. A run started by an older version continues, but not bit for bit.
MOVED: dict[str, str] = {}
# The same for updates on a GPU; those on a CPU did not change in these versions.
MOVED_ON_GPUS = {
    "1.0.0": "on GPUs other sums, and float32 convolutions in full unless precision=tf32",
}


def compare(begun: Any, now: str = __version__, moved: Mapping[str, str] | None = None) -> str:
    """A line about a run saved by another version; "" if its updates are the same bit for bit.

    Args:
        begun: version in the state's `meta`; None in states of the first versions.
        now: this version.
        moved: a table such as `MOVED`, in ascending order; by default those of this platform.
    """
    if moved is None:
        moved = {**MOVED, **(MOVED_ON_GPUS if platform() == "gpu" else {})}
    old, new = _numbers(begun), _numbers(now)
    if old > new:
        return (
            f"started by version {begun}, newer than this one ({now}): results may differ in "
            "their last bits"
        )
    between = [what for version, what in moved.items() if old < _numbers(version) <= new]
    if not between:
        return ""
    name = f"version {begun}" if old else "an older version"
    return f"started by {name}: continues, but not bit for bit ({'; '.join(between)})"


def _numbers(version):
    """`(0, 1, 0)` for "0.1.0"; () for anything that is no version."""
    found = re.match(r"\d+(\.\d+)*", version) if isinstance(version, str) else None
    return tuple(int(part) for part in found[0].split(".")[:4]) if found else ()
