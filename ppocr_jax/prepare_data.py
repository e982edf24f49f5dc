"""Creates a training dataset from images and the labels of other tools.

    python -m ppocr_jax.prepare_data labelme_folder/ --output data --val 0.2
    python -m ppocr_jax.prepare_data coco.json --images photos/ --output data --classes text,word
    python -m ppocr_jax.prepare_data scans/ --output data --groups 'book(\\d+)_page' --max-side 2000
    python -m ppocr_jax.prepare_data more/ --output data --add

The format is detected from the content: labelme (and X-AnyLabeling), COCO (and CVAT's COCO export),
COCO-Text and TextOCR, Label Studio (JSON, JSON-MIN), PPOCRLabel and PaddleOCR's label files,
ICDAR's gt files and similar ones, ArT, LSVT, ReCTS, Total-Text (.txt, .mat), CTW1500. `data/` gets
`images/`, `train.txt`, `val.txt`, `test.txt` if there is a test set, and `prepared.csv`, which has
the source of every image, its split, or why it was left out. To train on it, set
`--config.data.root=data`, with `train.txt` and `val.txt` as `data.train` and `data.val`.

Polygons keep their points; boxes, rotated boxes, circles and masks become polygons. Words marked
as difficult, ignore, iscrowd or illegible are ignored in training and evaluation. Near-duplicates,
and images with the same `--groups` key, go to the same split. Images are copied upright, without
EXIF and other metadata; pixels that need no change are copied bit for bit. The sources are never
changed. The exit status is 1 if something broken was left out.
"""

import os
import shlex

from ppocr_jax import cli
from ppocr_jax.annotations import ACCEPTED
from ppocr_jax.annotations.preparation import Options, prepare
from ppocr_jax.errors import shown, shows_progress, tell
from ppocr_jax.runtime import interrupts


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit status."""
    args = _arguments().parse_args(argv)
    options = vars(args)
    for key in ("sources", "images"):
        options[key] = tuple(options[key] or ())
    options["classes"] = tuple(n.strip() for n in (args.classes or "").split(",") if n.strip())
    with interrupts.putting_away():
        result = prepare(Options(**options), progress=shows_progress())
    for line in result.warnings:
        tell(f"warning: {line}")
    for line in result.notes:
        print(shown(line))
    root = f"--config.data.root={args.output}"
    look = ["ppocr-jax", "show-data", "--config", "configs/finetune.py", root, "--output", "look"]
    if os.path.exists(os.path.join(args.output, "val.txt")):
        print(shown(f"next: {shlex.join(look)}"))
    else:
        print(
            "there is no validation set, which training needs: name a label file with "
            "--config.data.val, or prepare again with --val above 0"
        )
    return 1 if result.faults else 0


def _arguments() -> cli.Parser:
    arguments = cli.parser(__doc__)
    add = arguments.add_argument
    add("sources", nargs="+", metavar="SOURCE", help="label files, or folders that contain them")
    add("--output", required=True, metavar="DIR", help="folder to create")
    add("--images", action="append", metavar="DIR",
        help="folder of the images, if not beside the labels; repeatable")  # fmt: skip
    add("--format", choices=list(ACCEPTED), help="format to read if several are detected")
    add("--classes", metavar="NAME,...", help="names of the classes that are text; default: all")
    add("--val", type=float, default=0.2, metavar="SHARE",
        help="validation set: a share below 1, or a number of images; default: 0.2")  # fmt: skip
    add("--test", type=float, default=0.0, metavar="SHARE", help="test set, likewise; default: 0")
    add("--seed", type=int, default=0, help="seed of the split; default: 0")
    add("--groups", default="", metavar="RULE",
        help="keep related images in one split: `folder`, or a regular expression to "
        "search in the path, whose groups are the key")  # fmt: skip
    add("--max-side", type=int, default=0, metavar="PIXELS",
        help="downscale larger images to this longer side")  # fmt: skip
    add("--link", action="store_true",
        help="create links to the images (metadata included) instead of copies")  # fmt: skip
    add("--frame", choices=["auto", "upright", "stored"], default="auto",
        help="for images with an EXIF rotation: whether labels refer to the upright or to the "
        "stored image; default: decided by the size in the labels, else upright")  # fmt: skip
    add("--add", action="store_true", help="add to an existing output; its splits stay")
    return arguments


if __name__ == "__main__":
    cli.run(main)
