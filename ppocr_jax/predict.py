"""Finds text in images: boxes with scores in two files, and pictures that show them.

    python -m ppocr_jax.predict --weights runs/cml --images photos/ --output out/
    python -m ppocr_jax.predict --weights student.pdparams --config configs/ppocrv3_det_mobile.py \\
        --images 'scans/**/*.png' cover.jpg --output out/ --tile 960

`--weights` is what `evaluate` takes; without `--config`, the config saved beside it is used.
`--images` takes files, folders (all images below them) and globs. `out/predictions.jsonl` has an
object per image, `out/predicts.txt` the same in PaddleOCR's form with scores, both in the order
of the images; they appear when the last image is done (until then as `.part`). `out/pictures/`
shows the boxes, beside the labels when `--labels` names some. An image that cannot be read is
named and left out; the exit status is 1 then.

With `--tile`, images keep their own resolution and are seen through overlapping windows: for
large pages with small text.
"""

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
from ppocr_jax.errors import UserError, shown, tell
from ppocr_jax.pages.predictions import MANY_SIZES, SHARED, choose_shapes, predict_images
from ppocr_jax.pages.results import ResultFiles, Tally
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
    paths = find_images(args.images, leave_out=output / "pictures", tell=_warn)
    labels = read_labels_of(args.labels, paths) if args.labels else None
    pictures = None if args.no_pictures else output / "pictures"
    (pictures or output).mkdir(parents=True, exist_ok=True)
    network = open_network(config, args.weights, role)
    tell(f"{role} from {args.weights}: {network.report}")
    if not tiling:
        config.eval.batch_size = min(config.eval.batch_size, len(paths))
    compiles = isinstance(network.predict, jax.stages.Wrapped)
    if args.shared_shapes is None and not config.eval.shared_shapes and compiles:
        config.eval.shared_shapes = choose_shapes(paths, config, tiling)
    tally, bar = Tally(), tqdm(total=len(paths), unit="image", disable=not sys.stderr.isatty())
    with bar, ResultFiles(output) as files:
        for result in predict_images(network, paths, config, tiling, labels, pictures):
            tally.add(result)
            if result.reason:
                _warn(f"{result.reason}; left out")
            else:
                files.write(result)
            bar.update()
    for line in tally.warnings():
        _warn(line)
    places = ", ".join(map(str, [*files.paths, *([pictures] if pictures else [])]))
    print(
        f"{tally.boxes} boxes in {tally.images - tally.unreadable} images, "
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
    add("--no_pictures", action="store_true", help="only write the two files")
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
