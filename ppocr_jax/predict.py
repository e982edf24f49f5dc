"""Finds text in images: boxes with scores in three files, and pictures that show them.

    python -m ppocr_jax.predict --weights runs/cml --images photos/ --output out/
    python -m ppocr_jax.predict --weights student.pdparams --output out/ --tile 960 --crops \\
        --images 'scans/**/*.png' cover.jpg

`--weights` is what `evaluate` takes; without `--config`, the config saved beside it is used, or
else the one of the program whose networks have its shapes. `--images` takes files, folders (all
images below them) and globs. `out/predictions.jsonl` has an object per image, `out/predicts.txt`
the same in PaddleOCR's form with scores, `out/Label.txt` without scores in the form of PPOCRLabel,
all in the order of the images; they appear when the last image is done (until then as `.part`).
`out/pictures/` shows the boxes, beside the labels when `--labels` names some; `out/crops/` has
each box cut out and upright, as `<picture>_<number>.png`. An image that cannot be read is named
and left out; the exit status is 1 then.

To correct what was found and train on it: copy `out/Label.txt` into the folder of the images, open
that folder in PPOCRLabel, correct and confirm the images (it keeps only what is confirmed), and
train with `--config.data.root` naming the folder above and `--config.data.train=FOLDER/Label.txt`.
`predicts.txt` can be trained on as it is, with `--config.data.root=.`, where predict was called.

With `--tile`, images keep their own resolution and are seen through overlapping windows: for
large pages with small text.
"""

import collections
import pathlib
import sys

import jax
from tqdm import tqdm

from ppocr_jax import cli, config_files
from ppocr_jax import config as configs
from ppocr_jax.data import RESIZE_RULES
from ppocr_jax.data.images import Labels, find_images
from ppocr_jax.detection import tiles
from ppocr_jax.detection.network import open_network
from ppocr_jax.errors import UserError, counted, shown, shows_progress, tell
from ppocr_jax.pages.predictions import MANY_SIZES, SHARED, choose_shapes, predict_images
from ppocr_jax.pages.results import ResultFiles, Tally, label_key
from ppocr_jax.runtime import process


def main(argv):
    process.prepare()  # before weights without a config are looked at
    args, config = cli.parse(_arguments(), argv, saved=lambda a: config_files.find_for(a.weights))
    tiling = apply_options(args, config)
    configs.check(config)
    role = args.role or config.best.role
    if role not in config.roles:
        raise UserError(f"--role {role}: the config has {', '.join(config.roles)}")
    output = pathlib.Path(args.output)
    pictures, crops = output / "pictures", output / "crops"
    paths = find_images(args.images, leave_out=[pictures, crops], tell=_warn)
    labels = read_labels_of(args.labels, paths) if args.labels else None
    pictures = None if args.no_pictures else pictures
    crops = crops if args.crops else None
    for folder in filter(None, (output, pictures, crops)):
        folder.mkdir(parents=True, exist_ok=True)
    warn_of_others(paths, crops)
    network = open_network(config, args.weights, role)
    tell(f"{role} from {args.weights}: {network.report}")
    if not tiling:
        config.eval.batch_size = min(config.eval.batch_size, len(paths))
    compiles = isinstance(network.predict, jax.stages.Wrapped)
    if args.shared_shapes is None and not config.eval.shared_shapes and compiles:
        config.eval.shared_shapes = choose_shapes(paths, config, tiling)
    tally, bar = Tally(), tqdm(total=len(paths), unit="image", disable=not shows_progress())
    with bar, ResultFiles(output) as files:
        for result in predict_images(network, paths, config, tiling, labels, pictures, crops):
            tally.add(result)
            if result.reason:
                _warn(f"{result.reason}; left out")
            else:
                files.write(result)
            bar.update()
    for line in tally.warnings():
        _warn(line)
    places = ", ".join(map(str, filter(None, [*files.paths, pictures, crops])))
    print(
        f"{counted(tally.boxes, 'box')} in {counted(tally.images - tally.unreadable, 'image')}, "
        f"{tally.unreadable} unreadable: {places}"
    )
    return 1 if tally.unreadable else 0


def _warn(line):
    """Says a line beside a bar that may be shown."""
    tqdm.write(f"warning: {shown(line)}", file=sys.stderr)


def _arguments():
    arguments = cli.parser(__doc__)
    add = arguments.add_argument
    add("--weights", required=True, help="what to predict with")
    add("--images", required=True, nargs="+", action="extend", metavar="IMAGE",
        help="files, folders and globs, one or more, separated by spaces or commas")  # fmt: skip
    add("--output", required=True, metavar="DIR", help="folder for the results")
    add("--role", help="which network; default: config.best.role")
    add("--labels", metavar="FILE", help="labels in PaddleOCR's form, drawn beside what is found")
    add("--no_pictures", action="store_true", help="do not write pictures/")
    add("--crops", action="store_true", help="write each box, cut out and upright, into crops/; "
        "a high one is turned a quarter to the left")  # fmt: skip
    add("--box_type", help=f"{configs.one_of(configs.NAMES['postprocess.box_type'])}: rotated "
        "rectangles, or the shape of the text")  # fmt: skip
    add("--limit_side", type=int, metavar="PIXELS", help="as config.eval.limit_side")
    add("--limit_type", help=f"which side is limited: {configs.one_of(RESIZE_RULES)}")
    add("--tile", type=int, metavar="PIXELS", help="side of the windows on large pages, as 960")
    add("--overlap", type=int, metavar="PIXELS", help="of windows; default: a quarter of --tile")
    add("--scale", type=float, help="by which pages are resized before they are cut; default: 1")
    add("--shared_shapes", type=int, metavar="MULTIPLE",
        help="images whose sides round up to the same multiple of this share a program; 0: each "
        f"size has its own; default: {SHARED} when more than {MANY_SIZES} sizes occur")  # fmt: skip
    return arguments


def apply_options(args, config):
    """Puts the options that are short for a config's values there.

    Returns:
        `tiles.Tiling`, or None without `--tile`.

    Raises:
        UserError: an option that would have no effect.
    """
    for name in ("limit_side", "limit_type", "shared_shapes"):
        if getattr(args, name) is not None:
            config.eval[name] = getattr(args, name)
    if args.box_type is not None:
        config.postprocess.box_type = args.box_type
    needless = ("limit_side", "limit_type") if args.tile is not None else ("overlap", "scale")
    for name in needless:
        if getattr(args, name) is not None:
            rule = "has no effect with --tile: take --scale" if args.tile else "needs --tile"
            raise UserError(f"--{name} {rule}")
    if args.tile is None:
        return None
    return tiles.make_tiling(args.tile, args.overlap, 1.0 if args.scale is None else args.scale)


def warn_of_others(paths, crops):
    """Says which images are one to PPOCRLabel, and what lies among the crops already."""
    counts = collections.Counter(label_key(path) for path in paths)
    alike = [key for key, count in counts.items() if count > 1]
    if alike:
        _warn(
            f"Label.txt: several images are {alike[0]} ({len(alike)} such names): PPOCRLabel looks "
            "at no more of a path; predict one folder at a time to correct them there"
        )
    if crops and any(crops.iterdir()):
        _warn(f"{crops} holds files already; predictions.jsonl lists those of this run")


def read_labels_of(source, paths):
    """`Labels` of a file, which must name some of the images; says how many have none."""
    labels = Labels(source)
    without = sum(labels.find(path) is None for path in paths)
    if without == len(paths):
        raise UserError(f"--labels {source}: the paths in it end as none of the images do")
    if without:
        tell(f"{source}: no labels for {without} of {len(paths)} images")
    return labels


if __name__ == "__main__":
    cli.run(main)
