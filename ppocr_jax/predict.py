"""Detects text in images: writes boxes with scores, and pictures that show them.

    python -m ppocr_jax.predict --weights runs/cml --images photos/ --output out/
    python -m ppocr_jax.predict --weights student.pdparams --output out/ --tile 960 --crops \\
        --images 'scans/**/*.png' cover.jpg

`--weights` takes the same as in `evaluate`. Without `--config`, the config saved beside the weights
is used, or else a shipped one whose networks fit. `--images` takes files, folders (with everything
below them) and globs.

`out/predictions.jsonl` has one object per image, `out/predicts.txt` the same in PaddleOCR's format
with scores, `out/Label.txt` without scores in PPOCRLabel's format, all in the order of the images.
They get these names when the last image is done (until then they end in `.part`). `out/pictures/`
shows the boxes, next to the labels if `--labels` is given. `out/crops/` has each box cropped and
rotated upright, as `<image>_<number>.png`. Unreadable images are reported and skipped; the exit
status is then 1.

To correct the predictions and train on them: copy `out/Label.txt` into the folder of the images,
open that folder in PPOCRLabel, correct and confirm the images (it saves only confirmed ones), and
train with `--config.data.root` set to the parent folder and `--config.data.train=FOLDER/Label.txt`.
To train on `predicts.txt` without correction, use `--config.data.root=.` in the folder where you
ran predict.

`--tile` is for large pages with small text: images keep their resolution and are processed in
overlapping windows.
"""

import argparse
import collections
import pathlib
import sys
from collections.abc import Sequence

import jax
import ml_collections
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


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit status."""
    process.prepare()  # before weights without a config are looked at
    args, config = cli.parse(_arguments(), argv, saved=lambda a: config_files.find_for(a.weights))
    tiling = apply_options(args, config)
    configs.check(config)
    role = args.role or config.best.role
    if role not in config.roles:
        raise UserError(f"--role {role}: the config has {', '.join(config.roles)}")
    output = pathlib.Path(args.output)
    own = [output / "pictures", output / "crops"]  # no input, if an earlier run wrote them
    paths = find_images(args.images, leave_out=own, tell=tell)
    labels = read_labels_of(args.labels, paths) if args.labels else None
    pictures = None if args.no_pictures else own[0]
    crops = own[1] if args.crops else None
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


def _warn(line: str) -> None:
    """Prints a warning above the progress bar."""
    tqdm.write(f"warning: {shown(line)}", file=sys.stderr)


def _arguments() -> cli.Parser:
    arguments = cli.parser(__doc__)
    add = arguments.add_argument
    add("--weights", required=True, help="weights to predict with")
    add("--images", required=True, nargs="+", action="extend", metavar="IMAGE",
        help="one or more files, folders or globs, separated by spaces or commas")  # fmt: skip
    add("--output", required=True, metavar="DIR", help="folder for the results")
    add("--role", help="network to use; default: config.best.role")
    add(
        "--labels",
        metavar="FILE",
        help="labels in PaddleOCR's format, to show as well",
    )
    add("--no_pictures", action="store_true", help="do not write pictures/")
    add("--crops", action="store_true", help="write each box, cropped and upright, to crops/; "
        "tall ones are rotated 90 degrees to the left")  # fmt: skip
    add("--box_type", help=f"{configs.one_of(configs.NAMES['postprocess.box_type'])}: rotated "
        "rectangles, or polygons")  # fmt: skip
    add("--limit_side", type=int, metavar="PIXELS", help="short for --config.eval.limit_side")
    add("--limit_type", help=f"short for --config.eval.limit_type: {configs.one_of(RESIZE_RULES)}")
    add(
        "--tile",
        type=int,
        metavar="PIXELS",
        help="window size for large pages, such as 960",
    )
    add(
        "--overlap",
        type=int,
        metavar="PIXELS",
        help="window overlap; default: a quarter of --tile",
    )
    add("--scale", type=float, help="resize factor applied to pages before tiling; default: 1")
    add("--shared_shapes", type=int, metavar="MULTIPLE",
        help="round sides up to this multiple, so that images share a compiled program; 0: one "
        f"program per size; default: {SHARED} with more than {MANY_SIZES} sizes")  # fmt: skip
    return arguments


def apply_options(
    args: argparse.Namespace, config: ml_collections.ConfigDict
) -> tiles.Tiling | None:
    """Copies the options that are short for config values into the config.

    Returns:
        The tiling, or None without `--tile`.

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
            rule = "has no effect with --tile: use --scale" if args.tile else "needs --tile"
            raise UserError(f"--{name} {rule}")
    if args.tile is None:
        return None
    return tiles.make_tiling(args.tile, args.overlap, 1.0 if args.scale is None else args.scale)


def warn_of_others(paths: Sequence[str], crops: pathlib.Path | None) -> None:
    """Warns about images that PPOCRLabel cannot tell apart, and about old files among the crops."""
    counts = collections.Counter(label_key(path) for path in paths)
    alike = [key for key, count in counts.items() if count > 1]
    if alike:
        _warn(
            f"Label.txt: several images are named {alike[0]} ({len(alike)} such names): PPOCRLabel "
            "uses no more of a path; run predict on one folder at a time to correct them there"
        )
    if crops and any(crops.iterdir()):
        _warn(f"{crops} already contains files; predictions.jsonl lists those of this run")


def read_labels_of(source: str, paths: Sequence[str]) -> Labels:
    """Reads a label file and reports how many of the images have no labels in it.

    Raises:
        UserError: none of the images has any.
    """
    labels = Labels(source)
    without = sum(labels.find(path) is None for path in paths)
    if without == len(paths):
        raise UserError(f"--labels {source}: none of its paths matches one of the images")
    if without:
        tell(f"{source}: no labels for {without} of {len(paths)} images")
    return labels


if __name__ == "__main__":
    cli.run(main)
