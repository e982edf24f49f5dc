"""Polygons and labels -> counts -> hmean; sweeps; where a detector misses."""
