"""Sums and products that keep their rounding errors.

A result comes as two floats: the rounded one, and the error that rounding made. Only needed where
two large numbers almost cancel.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Pair = tuple[Array, Array]


def two_sum(a: Float[Array, "..."], b: Float[Array, "..."]) -> Pair:
    """`a + b` and its rounding error, exactly.

    Source: Knuth, The Art of Computer Programming, volume 2, section 4.2.2, theorem B.
    """
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def two_product(a: Float[Array, "..."], b: Float[Array, "..."]) -> Pair:
    """`a * b` and its rounding error, exactly unless something overflows or underflows.

    Source: Dekker, A floating-point technique for extending the available precision, Numerische
    Mathematik 18 (1971), section 5.
    """
    product = a * b
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    cross = (a_high * b_high - product) + a_high * b_low + a_low * b_high
    return product, cross + a_low * b_low


def _halves(a: Float[Array, "..."]) -> Pair:
    """Two floats of half as many digits that add up to `a`."""
    large = a * (2.0 ** ((jnp.finfo(a.dtype).nmant + 2) // 2) + 1)
    high = large - (large - a)
    return high, a - high


def sum_pairs(maps: tuple[Array, ...], axes: tuple[int, ...]) -> tuple[Pair, ...]:
    """Sums of maps over axes, each with what rounding lost; all in one pass.

    Args:
        maps: of equal shape and dtype.
        axes: to sum over.
    """
    zero = jnp.zeros((), maps[0].dtype)
    operands = [part for x in maps for part in (x, jnp.zeros_like(x))]

    def add(a, b):
        added = []
        for at in range(0, len(a), 2):
            total, error = two_sum(a[at], b[at])
            added += [total, a[at + 1] + b[at + 1] + error]
        return tuple(added)

    totals = jax.lax.reduce(tuple(operands), (zero,) * len(operands), add, axes)
    return tuple(zip(totals[::2], totals[1::2], strict=True))


def centre(total: Pair, squares: Pair, count: int) -> tuple[Array, Array]:
    """Mean of some values, and the sum of their squared distances to it.

    Args:
        total: sum of the values.
        squares: sum of their squares.
        count: how many values there are.
    """
    # For any m: sum((x - m)^2) = sum(x^2) - m * sum(x) - m * (sum(x) - count * m). The last bracket
    # is what rounding the mean lost.
    number = jnp.asarray(count, total[0].dtype)
    mean = (total[0] + total[1]) / number
    product, product_error = two_product(mean, total[0])
    back, back_error = two_product(number, mean)
    lost = (total[0] - back) + (total[1] - back_error)
    small = squares[1] - product_error - mean * total[1]
    return mean, (squares[0] - product) + small - mean * lost
