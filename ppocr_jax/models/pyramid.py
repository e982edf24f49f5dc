"""What feature pyramids share: the way down, and the fusion of their levels."""

from ppocr_jax.models.operations import concat, upsample


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
