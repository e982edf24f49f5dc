"""Pairs of roles as configs write them."""

from collections.abc import Iterable, Sequence
from typing import Any


def weighted_pairs(pairs: Iterable[Sequence[Any]]) -> list[tuple[str, str, float]]:
    """Turns `(a, b)` and `(a, b, weight)` entries into `(a, b, weight)`, by default 1."""
    return [(pair[0], pair[1], float(pair[2]) if len(pair) > 2 else 1.0) for pair in pairs]
