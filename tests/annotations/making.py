"""Makes images to label, runs the preparation, and reads the prepared folder."""

import csv
import json

import cv2
import numpy as np
from PIL import Image

from ppocr_jax.annotations.preparation import Options, prepare

GPS = 0x8825  # EXIF's place


def photo(path, seed=0, size=(90, 120), orientation=None, comment=None):
    """Writes an image of coarse coloured noise; `size` is its stored (height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (9, 12, 3)).astype(np.uint8)
    image = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
        exif.get_ifd(GPS)[2] = (48.0, 12.0, 34.5)
    extra = {"exif": exif.tobytes()} if orientation else {}
    if comment and path.suffix == ".jpg":
        extra["comment"] = comment
    Image.fromarray(image).save(path, **extra)
    return path


def run(source, output, **options):
    """`(summary.Result, {image name: [(points, text)]} of all splits)`."""
    options.setdefault("val", 0)
    sources = source if isinstance(source, tuple) else (source,)
    result = prepare(Options(tuple(map(str, sources)), str(output), **options))
    return result, labels_of(output)


def labels_of(output):
    """`{image name: [(points, text), ...]}` of all label files of a folder."""
    found = {}
    for split in ("train", "val", "test"):
        path = output / f"{split}.txt"
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            name, labels = line.split("\t")
            assert (output / name).is_file()
            found[name.removeprefix("images/")] = [
                (entry["points"], entry["transcription"]) for entry in json.loads(labels)
            ]
    return found


def rows_of(output):
    """The rows of `prepared.csv` as dicts."""
    with open(output / "prepared.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
