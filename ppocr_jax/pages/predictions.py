"""Images -> what was found in each, with a picture of it."""

import collections
import concurrent.futures
import os

from ppocr_jax.data.images import read_size
from ppocr_jax.data.resize import plan_resize
from ppocr_jax.detection import tiles
from ppocr_jax.detection.inference import predict_files
from ppocr_jax.detection.postprocess import find_contours, find_polygons
from ppocr_jax.pages.pictures import picture_names, save_picture
from ppocr_jax.pages.results import Result, small_text

THREADS = max(2, os.cpu_count() or 2)
MANY_SIZES = 8  # from here on, images of similar sizes share a program
SHARED = 256  # the multiple that their sides are rounded up to then


def predict_images(network, paths, config, tiling=None, labels=None, pictures=None):
    """Text in images.

    Args:
        network: see `detection.network.open_network`.
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
