"""Problems as people read them: those that are alike are shown a few times and then counted."""

import re

from ppocr_jax.data.labels import place_of

ALIKE = 3  # problems of a kind that are shown
PARTICULAR = re.compile(r"`[^`]*`|\(.*?\)|[-+]?\d+(\.\d+)?")  # quoted, in brackets, numbers


def condense(problems, alike=ALIKE):
    """Lines: each problem of a kind up to so many, then how many more there are.

    Args:
        problems: list of `labels.Problem`.
        alike: how many are shown of each kind.
    """
    kinds = {}
    for problem in problems:
        kind = problem.kind or PARTICULAR.sub("#", problem.reason)
        kinds.setdefault(kind, []).append(problem)
    for found in kinds.values():
        yield from map(str, found[:alike])
        if len(found) > alike:
            yield f"... and {len(found) - alike} more like that, the last: {place_of(found[-1])}"
