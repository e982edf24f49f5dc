"""What the configs share, by the name under which config files know it."""

from ppocr_jax.defaults import all_pairs, base, init_from, large, losses, narrow, small

__all__ = ["all_pairs", "base", "init_from", "large", "losses", "narrow", "small"]
