"""What feature pyramids share: the way down, and the fusion of their levels."""

from ppocr_jax.models.operations import concat, upsample


def require_channels(channels):
    """Refuses a width that cannot be parted among the levels, or that only fills memory."""
    if not 16 <= channels <= 2048:
        raise ValueError(f"channels={channels}: should be 16 to 2048")


def top_down(laterals):
    """Adds each coarser map, doubled, to the next finer one: [P2, P3, P4, P5] in and out."""
    merged = [laterals[-1]]
    for finer in reversed(laterals[:-1]):
        merged.insert(0, finer + upsample(merged[0], factor=2))
    return merged


def fuse(levels):
    """Levels [P2, P3, P4, P5] at the finest size, coarsest first: the order of the weights."""
    grown = [upsample(level, factor=2**i) if i else level for i, level in enumerate(levels)]
    return concat(grown[::-1])
