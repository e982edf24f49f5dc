"""Makes a folder to train from, of pictures and the labels that other tools have written.

    python -m ppocr_jax.prepare_data labelme_folder/ --output data --val 0.2
    python -m ppocr_jax.prepare_data coco.json --images photos/ --output data --classes text,word
    python -m ppocr_jax.prepare_data scans/ --output data --groups 'book(\\d+)_page' --max-side 2000
    python -m ppocr_jax.prepare_data more/ --output data --add

The format is recognised by content: labelme (and X-AnyLabeling), COCO (and CVAT's export as COCO),
COCO-Text and TextOCR, Label Studio (JSON, JSON-MIN), PPOCRLabel and PaddleOCR's label files,
ICDAR's gt files and their kin, ArT, LSVT, ReCTS, Total-Text (.txt, .mat), CTW1500. `data/` then
holds `images/`, `train.txt`, `val.txt`, perhaps `test.txt`, and `prepared.csv`, which says of every
picture where it comes from, in which split it is, or why it is left out. To train from it:
`--config.data.root=data`, with `train.txt` and `val.txt` as `data.train` and `data.val`.

Polygons keep their points; boxes, turned boxes, circles and masks become polygons. What is marked
as difficult, ignore, iscrowd or illegible is ignored in training and in scores. Pictures that show
the same, or have the same key of `--groups`, are in one split. Pictures are copied upright,
without EXIF and other entries; their pixels stay as they are where nothing has to change. The
sources stay as they are. The exit status is 1 when something that is broken was left out.
"""

import shlex

from ppocr_jax import cli
from ppocr_jax.annotations import ACCEPTED
from ppocr_jax.annotations.preparation import Options, prepare
from ppocr_jax.errors import shown, shows_progress, tell
from ppocr_jax.runtime import interrupts


def main(argv):
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
    print(shown(f"next: {shlex.join(look)}"))
    return 1 if result.faults else 0


def _arguments():
    arguments = cli.parser(__doc__)
    add = arguments.add_argument
    add("sources", nargs="+", metavar="SOURCE", help="label files, or folders that hold them")
    add("--output", required=True, metavar="DIR", help="folder to make")
    add("--images", action="append", metavar="DIR",
        help="where the pictures are, if not beside the labels; may be given again")  # fmt: skip
    add("--format", choices=list(ACCEPTED), help="which to read where several are recognised")
    add("--classes", metavar="NAME,...", help="classes that are text; default: all")
    add("--val", type=float, default=0.2, metavar="SHARE",
        help="for validation: a share below 1, or a number of pictures; default: 0.2")  # fmt: skip
    add("--test", type=float, default=0.0, metavar="SHARE", help="for a test; default: 0")
    add("--seed", type=int, default=0, help="of the split; default: 0")
    add("--groups", default="", metavar="RULE",
        help="what stays in one split: `folder`, or a regular expression found in the "
        "path, whose brackets are the key")  # fmt: skip
    add("--max-side", type=int, default=0, metavar="PIXELS",
        help="reduces larger pictures to this longer side")  # fmt: skip
    add("--link", action="store_true",
        help="links to the pictures (with all that is in them) instead of copies")  # fmt: skip
    add("--frame", choices=["auto", "upright", "stored"], default="auto",
        help="of pictures that EXIF turns: whether labels are for the upright picture or the "
        "stored one; default: by the size that the labels state, else upright")  # fmt: skip
    add("--add", action="store_true", help="adds to an output that is there; its splits stay")
    return arguments


if __name__ == "__main__":
    cli.run(main)
