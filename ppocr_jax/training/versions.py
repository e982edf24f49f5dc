"""Versions of the program whose arithmetic gives an update other bits than the one before it."""

import re

from ppocr_jax import __version__

# Version: what moved. A run that an older one has begun goes on, not to the same bits.
MOVED: dict[str, str] = {}


def compare(begun, now=__version__, moved=None):
    """A line on a run that another version has saved, "" where its bits stay the same.

    Args:
        begun: version in the state's `meta`; None in those of the first ones.
        now: this version.
        moved: table such as `MOVED`.
    """
    moved = MOVED if moved is None else moved
    old, new = _numbers(begun), _numbers(now)
    if old > new:
        return f"begun by version {begun}, newer than this one, {now}: the same bits are not sure"
    between = [what for version, what in moved.items() if old < _numbers(version) <= new]
    if not between:
        return ""
    name = f"version {begun}" if old else "an older version"
    return f"begun by {name}: goes on, not to the same bits ({'; '.join(between)})"


def _numbers(version):
    """`(0, 1, 0)` of "0.1.0"; () where it is no version."""
    found = re.match(r"\d+(\.\d+)*", version) if isinstance(version, str) else None
    return tuple(int(part) for part in found[0].split(".")[:4]) if found else ()
