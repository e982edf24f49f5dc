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

import collections
import concurrent.futures
import os
import pathlib
import sys

import jax
from tqdm import tqdm

from ppocr_jax import cli, runtime, sources, tiles
from ppocr_jax import config as configs
from ppocr_jax.data.images import Labels, find_images, read_size
from ppocr_jax.data.resize import plan_resize
from ppocr_jax.errors import UserError
from ppocr_jax.inference import predict_files
from ppocr_jax.networks import open_network
from ppocr_jax.pictures import picture_names, save_picture
from ppocr_jax.postprocess import find_contours, find_polygons
from ppocr_jax.results import Result, ResultFiles, Tally, small_text

THREADS = max(2, os.cpu_count() or 2)
MANY_SIZES = 8  # from here on, images of similar sizes share a program
SHARED = 256  # the multiple that their sides are rounded up to then


def predict_images(network, paths, config, tiling=None, labels=None, pictures=None):
    """Text in images.

    Args:
        network: see `networks.open_network`.
        paths: of the images.
        config: a whole config; `eval` and `postprocess` are read.
        tiling: `tiles.Tiling` of large pages; None to resize as `eval.limit_*` say. Pages are
            allowed `postprocess.max_candidates` regions per window's area.
        labels: `data.images.Labels`, or None.
        pictures: folder, which exists, for pictures of what was found; None for none.

    Yields:
        `Result` per path, in their order.
    """
    names = picture_names(paths) if pictures else [""] * len(paths)
    post = config.postprocess.to_dict()
    run = (network.predict, network.variables, enumerate(paths))
    if tiling:
        maps = tiles.predict_tiled(*run, config, tiling, network.sharding, THREADS)
    else:
        maps = predict_files(*run, config.eval, network.sharding, THREADS)

    def finish(item):
        path, name = paths[item.key], names[item.key]
        if item.shrink_map is None:
            return Result(path, reason=item.reason)
        sample = labels.find(path) if labels else None
        options = tiles.allow_candidates(post, item.shrink_map, tiling) if tiling else post
        result = make_result(item, path, options, sample)
        if name:
            save_picture(pictures / name, path, result.polygons, sample)
            result = result._replace(picture=f"{pictures.name}/{name}")
        return result

    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        yield from _in_order(pool, finish, maps)


def _in_order(pool, finish, maps):
    """`finish(item)` of each item, by key from 0 on; few maps wait in memory."""
    futures, running, following = {}, collections.deque(), 0
    for item in maps:
        futures[item.key] = pool.submit(finish, item)
        running.append(futures[item.key])
        if len(running) > 4 * THREADS:
            running.popleft().result()
        while following in futures and futures[following].done():
            yield futures.pop(following).result()
            following += 1
    for key in sorted(futures):
        yield futures[key].result()


def make_result(item, path, post, sample=None):
    """`Result` of one image's map. Its small text is that of the labels where there are some."""
    polygons, scores = find_polygons(item.shrink_map, item.size, **post)
    contours = find_contours(item.shrink_map, post["thresh"], post["use_dilation"])
    labelled = zip(sample.polygons, sample.ignore, strict=True) if sample else ()
    words = [polygon for polygon, ignore in labelled if not ignore] or polygons
    network_size = item.shrink_map.shape
    return Result(
        path,
        item.size,
        network_size,
        polygons,
        scores,
        text_px=small_text(words, item.size, network_size),
        passed_over=max(0, len(contours) - post["max_candidates"]),
    )


def choose_shapes(paths, config, tiling=None):
    """The multiple for `eval.shared_shapes`: `SHARED` when many sizes occur, else 0.

    Every size at which the network runs is compiled once, which takes as long as some dozens of
    images; with shared shapes the maps stay the same, see `inference`.
    """
    seen = set()
    for path in paths:
        size = read_size(path)
        if size is None:
            continue
        if tiling:
            seen.update(filter(None, tiles.plan_windows(*size, tiling)))
        else:
            options = {key: config.eval[key] for key in ("limit_side", "limit_type")}
            seen.add(plan_resize(*size, **options))
        if len(seen) > MANY_SIZES:
            return SHARED
    return 0


def main(argv):
    args, config = cli.parse(_arguments(), argv, saved=lambda a: sources.saved_config(a.weights))
    tiling = apply_options(args, config)
    configs.check(config)
    runtime.prepare()
    role = args.role or config.best.role
    if role not in config.roles:
        raise UserError(f"--role {role}: the config has {', '.join(config.roles)}")
    output = pathlib.Path(args.output)
    paths = find_images(args.images, leave_out=output / "pictures")
    labels = read_labels_of(args.labels, paths) if args.labels else None
    pictures = None if args.no_pictures else output / "pictures"
    (pictures or output).mkdir(parents=True, exist_ok=True)
    network = open_network(config, args.weights, role)
    print(f"{role} from {args.weights}: {network.report}", file=sys.stderr)
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
                tqdm.write(f"warning: {result.reason}; left out", file=sys.stderr)
            else:
                files.write(result)
            bar.update()
    for line in tally.warnings():
        print(f"warning: {line}", file=sys.stderr)
    places = ", ".join(map(str, [*files.paths, *([pictures] if pictures else [])]))
    print(
        f"{tally.boxes} boxes in {tally.images - tally.unreadable} images, "
        f"{tally.unreadable} unreadable: {places}"
    )
    return 1 if tally.unreadable else 0


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
    add("--box_type", help="quad: rotated rectangles; poly: the shape of the text")
    add("--limit_side", type=int, metavar="PIXELS", help="as config.eval.limit_side")
    add("--limit_type", help="min, max or resize_long: the side that is limited")
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
        print(f"{source}: no labels for {without} of {len(paths)} images", file=sys.stderr)
    return labels


if __name__ == "__main__":
    cli.run(main)
