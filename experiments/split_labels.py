"""Splits a label file into two at random: `python -m experiments.split_labels FILE 100 OUT_DIR`.

Writes `held_out.txt` with that many lines and `rest.txt` with the others; the seed is 0.
"""

import pathlib
import random
import sys

from ppocr_jax import files


def split(path, count, folder):
    """Writes the two files; every line of `path` is in exactly one of them."""
    lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if line.strip()]
    random.Random(0).shuffle(lines)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in (("held_out.txt", lines[:count]), ("rest.txt", lines[count:])):
        files.write_text(folder / name, "\n".join(part) + "\n")


if __name__ == "__main__":
    split(sys.argv[1], int(sys.argv[2]), sys.argv[3])
