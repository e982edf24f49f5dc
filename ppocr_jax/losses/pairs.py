"""Pairs of roles, as configs write them."""


def weighted_pairs(pairs):
    """`(a, b)` or `(a, b, weight)` entries as `(a, b, weight)`, weight 1 by default."""
    return [(pair[0], pair[1], float(pair[2]) if len(pair) > 2 else 1.0) for pair in pairs]
