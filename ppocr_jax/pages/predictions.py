"""Images -> what was found in each, with a picture of it."""

import concurrent.futures
import os

from ppocr_jax.data.image_files import count_frames, read_size
from ppocr_jax.data.resize import plan_resize, plan_size
from ppocr_jax.detection import tiles
from ppocr_jax.detection.inference import in_threads, predict_files, reason_for
from ppocr_jax.detection.postprocess import find_contours, find_polygons
from ppocr_jax.detection.shapes import SHARED
from ppocr_jax.pages.crops import save_crops
from ppocr_jax.pages.pictures import picture_names, save_picture
from ppocr_jax.pages.results import Result, small_text

THREADS = max(2, os.cpu_count() or 2)
MANY_SIZES = 8  # from here on, images of similar sizes share a program


def predict_images(network, paths, config, tiling=None, labels=None, pictures=None, crops=None):
    """Text in images.

    Args:
        network: see `detection.network.open_network`.
        paths: of the images.
        config: a whole config; `eval` and `postprocess` are read.
        tiling: `tiles.Tiling` of large pages; None to resize as `eval.limit_*` say. Pages are
            allowed `postprocess.max_candidates` regions per window's area.
        labels: `data.images.Labels`, or None.
        pictures: folder, which exists, for pictures of what was found; None for none.
        crops: folder, which exists, for the boxes cut out; None for none.

    Yields:
        `Result` per path, in their order.
    """
    names = picture_names(paths)
    post = config.postprocess.to_dict()
    run = (network.predict, network.variables, enumerate(paths))
    if tiling:
        maps = tiles.predict_tiled(*run, config, tiling, network.sharding, THREADS)
    else:
        maps = predict_files(*run, config.eval, network.sharding, THREADS)

    limits = {key: config.eval[key] for key in ("limit_side", "limit_type")}

    def finish(item):
        path, name = paths[item.key], names[item.key]
        sample = labels.find(path) if labels else None
        options = tiles.allow_candidates(post, item.shrink_map, tiling) if tiling else post
        result = make_result(item, path, options, sample)
        wanted = result.network_size if tiling else plan_resize(*item.size, **limits)
        result = result._replace(wanted_size=wanted, frames=count_frames(path))
        if pictures:
            save_picture(pictures / name, path, result.polygons, sample)
            result = result._replace(picture=f"{pictures.name}/{name}")
        if crops:
            cut = save_crops(crops, name.removesuffix(".jpg"), path, result.polygons)
            result = result._replace(crops=[f"{crops.name}/{file}" for file in cut])
        return result

    def finish_or_leave_out(item):
        if item.shrink_map is None:
            return Result(paths[item.key], reason=item.reason)
        try:
            return finish(item)
        except OSError:  # a full disk: no picture's fault
            raise
        except Exception as error:
            return Result(paths[item.key], reason=reason_for(paths[item.key], error))

    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        yield from _in_order(in_threads(pool, finish_or_leave_out, maps, 4 * THREADS))


def _in_order(results):
    """The values of `(key, value)` pairs by key, from 0 on."""
    early, following = {}, 0
    for key, result in results:
        early[key] = result
        while following in early:
            yield early.pop(following)
            following += 1


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
            seen.add(plan_size(*size, **options))
        if len(seen) > MANY_SIZES:
            return SHARED
    return 0
