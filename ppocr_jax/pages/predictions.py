"""Images -> what was found in each, with pictures and crops of it."""

import concurrent.futures
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from ppocr_jax.data.image_files import count_frames, read_size
from ppocr_jax.data.images import Labels
from ppocr_jax.data.resize import plan_resize, plan_size
from ppocr_jax.data.sample import Sample
from ppocr_jax.detection import tiles
from ppocr_jax.detection.inference import Predicted, in_threads, predict_files, reason_for
from ppocr_jax.detection.network import Network
from ppocr_jax.detection.postprocess import find_contours, find_polygons
from ppocr_jax.detection.shapes import SHARED
from ppocr_jax.pages.crops import save_crops
from ppocr_jax.pages.pictures import picture_names, save_picture
from ppocr_jax.pages.results import Result, small_text

THREADS = max(2, os.cpu_count() or 2)
MANY_SIZES = 8  # with more image sizes than this, similar ones share a compiled program


def predict_images(
    network: Network,
    paths: Sequence[str],
    config: ConfigDict,
    tiling: tiles.Tiling | None = None,
    labels: Labels | None = None,
    pictures: pathlib.Path | None = None,
    crops: pathlib.Path | None = None,
) -> Iterator[Result]:
    """Finds text in images.

    Args:
        network: see `detection.network.open_network`.
        paths: of the images.
        config: a complete config; `eval` and `postprocess` are read.
        tiling: cuts large pages into windows; None to resize as `eval.limit_*` say. A page may have
            `postprocess.max_candidates` regions per window.
        labels: ground truth to draw beside the boxes.
        pictures: folder for pictures of what was found, which exists; None for no pictures.
        crops: folder for cut out boxes, which exists; None for no crops.

    Yields:
        A `Result` per path, in the given order.
    """
    # --- maps: reading, the network and drawing overlap, with a bounded number of images in flight
    names = picture_names(paths)
    post = config.postprocess.to_dict()
    run = (network.predict, network.variables, enumerate(paths))
    if tiling:
        maps = tiles.predict_tiled(*run, config, tiling, network.sharding, THREADS)
    else:
        maps = predict_files(*run, config.eval, network.sharding, THREADS)

    # --- maps -> polygons, pictures and crops, in threads
    limits = {key: config.eval[key] for key in ("limit_side", "limit_type")}

    def finish(item: Predicted) -> Result:
        assert item.shrink_map is not None  # images without a map were left out before
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

    def finish_or_leave_out(item: Predicted) -> Result:
        if item.shrink_map is None:
            return Result(paths[item.key], reason=item.reason)
        try:
            return finish(item)
        except OSError:  # a full disk would fail for every image: stop
            raise
        except Exception as error:  # one odd image must not cost the results of all others
            return Result(paths[item.key], reason=reason_for(paths[item.key], error))

    # --- threads finish in any order; results come out in that of the paths
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        yield from _in_order(in_threads(pool, finish_or_leave_out, maps, 4 * THREADS))


def _in_order(results: Iterable[tuple[int, Result]]) -> Iterator[Result]:
    """Yields the values of `(key, value)` pairs in the order of their keys 0, 1, 2, ..."""
    early: dict[int, Result] = {}
    following = 0
    for key, result in results:
        early[key] = result
        while following in early:
            yield early.pop(following)
            following += 1


def make_result(
    item: Predicted, path: str, post: Mapping[str, Any], sample: Sample | None = None
) -> Result:
    """Post-processes the map of one image.

    Args:
        item: the map, which is not None.
        path: of the image.
        post: options of `find_polygons`.
        sample: labels of the image, whose words then decide `text_px` instead of the found ones.
    """
    assert item.shrink_map is not None
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


def choose_shapes(
    paths: Iterable[str], config: ConfigDict, tiling: tiles.Tiling | None = None
) -> int:
    """A value for `eval.shared_shapes`: `SHARED` if the images have many sizes, else 0.

    The network is compiled for every input size, which takes as long as some dozens of images.
    Padding to shared sizes avoids that and leaves the maps the same, see `inference`.

    Args:
        paths: of the images.
        config: a complete config; `eval` is read.
        tiling: as for `predict_images`.
    """
    seen: set[Any] = set()
    for path in paths:
        size = read_size(path)
        if size is None:
            continue
        if tiling:
            seen.update(filter(None, tiles.plan_windows(size[0], size[1], tiling)))
        else:
            options = {key: config.eval[key] for key in ("limit_side", "limit_type")}
            seen.add(plan_size(*size, **options))
        if len(seen) > MANY_SIZES:
            return SHARED
    return 0
