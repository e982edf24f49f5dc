"""The parts that all feature pyramids share: the top-down pathway and the fusion of levels."""

from collections.abc import Sequence

from jaxtyping import Array, Float

from ppocr_jax.models.operations import concat, upsample


def require_channels(channels: int) -> None:
    """Checks a pyramid's width: too small to split among four levels, or absurdly large.

    Raises:
        ValueError: `channels` is outside 16 to 2048.
    """
    if not 16 <= channels <= 2048:
        raise ValueError(f"channels={channels}: should be 16 to 2048")


def top_down(laterals: Sequence[Float[Array, "B _ _ C"]]) -> list[Float[Array, "B _ _ C"]]:
    """Upsamples each coarser map and adds it to the next finer one: [P2, P3, P4, P5] in and out."""
    merged = [laterals[-1]]
    for finer in reversed(laterals[:-1]):
        merged.insert(0, finer + upsample(merged[0], factor=2))
    return merged


def fuse(levels: Sequence[Float[Array, "B _ _ C"]]) -> Float[Array, "B H W 4*C"]:
    """Upsamples the levels [P2, P3, P4, P5] to the size of P2 and concatenates their channels."""
    # Coarsest level first: the head's published weights expect this order of channels.
    grown = [upsample(level, factor=2**i) if i else level for i, level in enumerate(levels)]
    return concat(grown[::-1])
