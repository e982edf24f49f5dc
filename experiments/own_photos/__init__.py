"""Sixty photos with labelme's files, as somebody's own would be."""
