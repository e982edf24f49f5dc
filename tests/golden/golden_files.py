"""Reads the values of this folder."""

import pathlib

import numpy as np

FOLDER = pathlib.Path(__file__).parent


def read(name, folder=FOLDER):
    """`{key: array}` of `<name>.npz`."""
    with np.load(folder / f"{name}.npz") as arrays:
        return {key: arrays[key] for key in arrays.files}
