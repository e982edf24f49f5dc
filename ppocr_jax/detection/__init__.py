"""Weights -> the function that draws maps; files -> maps -> polygons."""
