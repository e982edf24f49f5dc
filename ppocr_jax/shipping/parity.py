"""Whether a shipped file does what its checkpoint does: maps and boxes of both, on images.

A map may differ by rounding. A box hangs on single pixels that lie above or below a threshold, so
a difference of 1e-6 can move one; more than one box, and more than one in 200, is a fault.
"""

from typing import Any

import numpy as np

from ppocr_jax.data.images import find_images
from ppocr_jax.data.resize import MOST_PIXELS, plan_size, read_image, resize_image
from ppocr_jax.data.scenes import draw_scene
from ppocr_jax.data.splits import read_validation
from ppocr_jax.detection.postprocess import find_polygons
from ppocr_jax.errors import UserError

SHARES = (1.0, 2 / 3, 1 / 3)  # of an image's own size at evaluation
IDENTICAL = 0.995  # of all boxes, at least
COUNT = 3  # images taken where none are named
MOST = 12  # of those that are named


def choose_images(config, places):
    """Images to compare on: those that are named, else validation images, else drawn scenes.

    Args:
        config: a whole config.
        places: image files, folders and globs; when they hold many images, some of them.

    Returns:
        `(images, what)`: `(name, uint8 [H, W, 3] BGR)` pairs, and words on where they come from.

    Raises:
        UserError: a place that is no image, or a folder without one.
    """
    if places:
        paths = _spread(find_images(places), MOST)
        return [(path, _read(path, config)) for path in paths], f"{len(paths)} given images"
    try:
        images = _read_validation(config)
    except UserError:
        side = min(max(96, config.eval.limit_side // 32 * 32), 2048)
        scenes = [draw_scene(config.seed, "val", i, side)[0] for i in range(COUNT)]
        return [(f"scene {i}", image) for i, image in enumerate(scenes)], f"{COUNT} drawn scenes"
    return images, f"the {len(images)} validation images with most words"


def _read_validation(config):
    """`(path, image)` of validation images that can be read. Raises UserError: there is none."""
    samples, images = read_validation(config), []
    for sample in sorted(samples, key=lambda sample: sample.ignore.count(False), reverse=True):
        try:
            images.append((sample.image_path, _read(sample.image_path, config)))
        except UserError as error:
            last = error  # evaluation names it
        if len(images) == COUNT:
            break
    if not images:
        raise last
    return images


def _read(path, config):
    """An image, at the size at which it is evaluated if it is too large to be kept."""

    def reduce(image):
        if image.shape[0] * image.shape[1] <= MOST_PIXELS:
            return image
        rule = {key: config.eval[key] for key in ("limit_side", "limit_type")}
        return resize_image(image, *plan_size(*image.shape[:2], **rule))

    return read_image(path, reduce)


def _spread(items, count):
    """`count` items of a list, evenly spaced, or all when there are fewer."""
    return [items[int(i)] for i in sorted(set(np.linspace(0, len(items) - 1, count).astype(int)))]


def compare(reference, candidate, images, config, tolerance, shape=None) -> dict[str, Any]:
    """Runs two networks over the same images at three sizes each way they come.

    Args:
        reference, candidate: uint8 `[1, H, W, 3]` BGR -> maps `[1, H, W]`.
        images: see `choose_images`. The first is run at its own size, the second at two thirds of
            it, the third at one third, and so on; a single one at all three.
        config: `eval` and `postprocess` are read.
        tolerance: largest difference of two maps that is rounding.
        shape: (height, width) that the candidate is made for; None: any.

    Returns:
        Figures in JSON's types; `passed` says whether they are good.
    """
    rows = []
    for index in range(max(len(images), len(SHARES))):
        name, image = images[index % len(images)]
        size = shape or _size(image, config.eval, SHARES[index % len(SHARES)])
        batch = resize_image(image, *size)[None]
        maps = [np.asarray(predict(batch))[0] for predict in (reference, candidate)]
        boxes = [_boxes(shrink_map, image.shape[:2], config) for shrink_map in maps]
        same = len(boxes[0]) - len(_without(boxes[0], boxes[1]))
        rows.append({
            "image": name,
            "size": list(size),
            "map_difference": float(np.abs(maps[0] - maps[1]).max()),
            "boxes": len(boxes[0]),
            "boxes_of_file": len(boxes[1]),
            "boxes_identical": same,
        })  # fmt: skip
    return _judge(rows, tolerance)


def _size(image, rule, share):
    planned = plan_size(*image.shape[:2], limit_side=rule.limit_side, limit_type=rule.limit_type)
    return tuple(max(32, round(side * share / 32) * 32) for side in planned)


def _boxes(shrink_map, size, config):
    polygons, _ = find_polygons(shrink_map, size, **config.postprocess.to_dict())
    return [polygon.tobytes() for polygon in polygons]


def _without(boxes, others):
    """What is left of a list when each of the others takes one equal to it away."""
    left = list(boxes)
    for box in others:
        if box in left:
            left.remove(box)
    return left


def _judge(rows, tolerance):
    difference = max(row["map_difference"] for row in rows)
    found, of_file, same = (
        sum(row[key] for row in rows) for key in ("boxes", "boxes_of_file", "boxes_identical")
    )
    other = max(found, of_file) - same
    allowed = max(1, int((1 - IDENTICAL) * found))
    good = difference <= tolerance and other <= (0 if tolerance == 0 else allowed)
    return {
        "passed": bool(good),
        "map_difference": difference,
        "map_tolerance": tolerance,
        "boxes": found,
        "boxes_identical": same,
        "boxes_other": other,
        "images": rows,
    }


def explain(figures):
    """One line on the figures of a comparison."""
    sizes = dict.fromkeys("x".join(map(str, row["size"])) for row in figures["images"])
    return (
        f"maps differ by at most {figures['map_difference']:.2g} (limit "
        f"{figures['map_tolerance']:g}), {figures['boxes_identical']} of {figures['boxes']} boxes "
        f"are identical; at {', '.join(sizes)}"
    )
