"""The building blocks of config files, from `ppocr_jax.defaults`."""

from ppocr_jax.defaults import all_pairs, base, init_from, large, losses, narrow, small

__all__ = ["all_pairs", "base", "init_from", "large", "losses", "narrow", "small"]
