"""Makes a folder of sixty photos with labelme's files, from the training set of ICDAR2015.

    python -m experiments.own_photos --icdar icdar2015 --output labelme_folder

`--icdar` is the folder of ICDAR2015 with PaddleOCR's two label files.
"""

import json
import os
import shutil
from collections.abc import Sequence
from typing import Any

from etils import epath

from ppocr_jax import cli, files
from ppocr_jax.data.image_files import read_size
from ppocr_jax.errors import UserError

LABELS = "train_icdar2015_label.txt"
LINES = slice(100, 160)  # of the label file: any sixty would do


def main(argv: Sequence[str]) -> int:
    """Copies the photos, writes their labels and returns the exit status."""
    arguments = cli.parser(__doc__)
    arguments.add_argument("--icdar", metavar="DIR", required=True, help="folder of ICDAR2015")
    arguments.add_argument("--output", metavar="DIR", required=True, help="folder to make")
    args = arguments.parse_args(argv)
    icdar, output = epath.Path(args.icdar), epath.Path(args.output)
    if not (icdar / LABELS).exists():
        raise UserError(f"--icdar {icdar}: there is no {LABELS}")
    if output.exists():
        raise UserError(f"--output {output}: exists already, name another folder")
    output.mkdir(parents=True)
    lines = (icdar / LABELS).read_text(encoding="utf-8-sig").splitlines()
    for line in [line for line in lines if line.strip()][LINES]:
        try:
            name, words = line.split("\t")
            shapes = [labelme_shape(word) for word in json.loads(words)]
        except (ValueError, TypeError, LookupError):
            reason = f"{line[:40]!r}: expected an image, a tab and PaddleOCR's labels as JSON"
            raise UserError(f"{icdar / LABELS}: {reason}") from None
        photo = output / os.path.basename(name)
        shutil.copy(icdar / name, photo)
        record = labelme_record(photo, shapes)
        files.write_text(photo.with_suffix(".json"), json.dumps(record, ensure_ascii=False))
    return 0


def labelme_shape(word: dict[str, Any]) -> dict[str, Any]:
    """A word of PaddleOCR's labels, with `transcription` and `points`, as labelme's polygon."""
    return {
        "label": word["transcription"],
        "points": [[float(x), float(y)] for x, y in word["points"]],
        "group_id": None,
        "description": "",
        "shape_type": "polygon",
        "flags": {},
        "mask": None,
    }


def labelme_record(photo: epath.Path, shapes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What labelme 5 writes for a photo, which lies beside its label file."""
    size = read_size(photo)
    if size is None:
        raise UserError(f"{photo}: cannot be read as an image")
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": photo.name,
        "imageData": None,
        "imageHeight": size[0],
        "imageWidth": size[1],
    }


if __name__ == "__main__":
    cli.run(main)
