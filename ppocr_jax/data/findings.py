"""Lists problems for people: a few of each kind in full, the rest as a count."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ppocr_jax.data.sample import Problem, place_of

ALIKE = 3  # problems of each kind shown in full
PARTICULAR = re.compile(r"`[^`]*`|\(.*?\)|[-+]?\d+(\.\d+)?")  # quotes, brackets and numbers


def condense(problems: Iterable[Problem], alike: int = ALIKE) -> Iterator[str]:
    """Lines of text: the first problems of each kind, then how many more there are.

    Args:
        problems: all problems.
        alike: how many of each kind are shown in full.
    """
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        kind = problem.kind or PARTICULAR.sub("#", problem.reason)
        kinds.setdefault(kind, []).append(problem)
    for found in kinds.values():
        yield from map(str, found[:alike])
        if len(found) > alike:
            yield f"... and {len(found) - alike} more like that, the last: {place_of(found[-1])}"
