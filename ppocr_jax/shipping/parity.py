"""Compares a shipped file with its checkpoint: maps and boxes of both on the same images.

Maps may differ by rounding. A box depends on single pixels that are above or below a threshold, so
a difference of 1e-6 can change one. The file fails where more boxes change than one, and more than
one in 200.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ppocr_jax.data.images import find_images
from ppocr_jax.data.resize import MOST_PIXELS, plan_size, read_image, resize_image
from ppocr_jax.data.scenes import draw_scene
from ppocr_jax.data.splits import read_validation
from ppocr_jax.detection.postprocess import find_polygons
from ppocr_jax.errors import UserError

# Three sizes show faults that one hides, such as a shape fixed at export. Relative to the size of
# an image at evaluation.
SHARES = (1.0, 2 / 3, 1 / 3)
IDENTICAL = 0.995  # least share of identical boxes
COUNT = 3  # images used when none are given
MOST = 12  # images used of those given

Image = np.ndarray  # uint8 [H, W, 3] BGR


def choose_images(config: ConfigDict, places: Sequence[str]) -> tuple[list[tuple[str, Image]], str]:
    """Images to compare on: the given ones, else validation images, else synthetic scenes.

    Args:
        config: a whole config.
        places: image files, folders and globs; of many images, some are used.

    Returns:
        `(images, what)`: `(name, uint8 [H, W, 3] BGR)` pairs, and their origin in words.

    Raises:
        UserError: a file that is not an image, or a folder without images.
    """
    if places:
        paths = _spread(find_images(places), MOST)
        return [(path, _read(path, config)) for path in paths], f"{len(paths)} given images"
    try:
        images = _read_validation(config)
    except UserError:
        side = min(max(96, config.eval.limit_side // 32 * 32), 2048)
        scenes = [draw_scene(config.seed, "val", i, side)[0] for i in range(COUNT)]
        named = [(f"scene {i}", image) for i, image in enumerate(scenes)]
        return named, f"{COUNT} synthetic scenes"
    return images, f"the {len(images)} validation images with most words"


def _read_validation(config: ConfigDict) -> list[tuple[str, Image]]:
    """`(path, image)` of readable validation images. Raises UserError when there are none."""
    samples, images = read_validation(config), []
    for sample in sorted(samples, key=lambda sample: sample.ignore.count(False), reverse=True):
        try:
            images.append((sample.image_path, _read(sample.image_path, config)))
        except UserError as error:
            last = error  # a single bad image is the business of an evaluation
        if len(images) == COUNT:
            break
    if not images:
        raise last
    return images


def _read(path: str, config: ConfigDict) -> Image:
    """An image; a very large one at its size at evaluation, to save memory."""

    def reduce(image: Image) -> Image:
        if image.shape[0] * image.shape[1] <= MOST_PIXELS:
            return image
        rule = {key: config.eval[key] for key in ("limit_side", "limit_type")}
        return resize_image(image, *plan_size(*image.shape[:2], **rule))

    return read_image(path, reduce)


def _spread(items: Sequence[str], count: int) -> list[str]:
    """`count` items of a list, evenly spaced, or all when there are fewer."""
    return [items[int(i)] for i in sorted(set(np.linspace(0, len(items) - 1, count).astype(int)))]


def compare(
    reference: Callable[[Any], Any],
    candidate: Callable[[Any], Any],
    images: Sequence[tuple[str, Image]],
    config: ConfigDict,
    tolerance: float,
    shape: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Compares two networks on images of three sizes.

    Args:
        reference, candidate: uint8 `[1, H, W, 3]` BGR -> maps `[1, H, W]`.
        images: see `choose_images`. The first is run at its full size, the second at two thirds
            of it, the third at one third, and so on; a single one at all three.
        config: a whole config; `eval` and `postprocess` are read.
        tolerance: largest difference between two maps that counts as rounding.
        shape: the only (height, width) that the candidate takes; None for any.

    Returns:
        Figures in JSON's types: `passed`, the largest difference of maps and its limit, numbers
        of boxes, and the same for each image.
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


def _size(image: Image, rule: Any, share: float) -> tuple[int, int]:
    """A share of an image's (height, width) at evaluation, in multiples of 32."""
    planned = plan_size(*image.shape[:2], limit_side=rule.limit_side, limit_type=rule.limit_type)
    height, width = (max(32, round(side * share / 32) * 32) for side in planned)
    return height, width


def _boxes(shrink_map: np.ndarray, size: tuple[int, int], config: ConfigDict) -> list[bytes]:
    """Boxes as bytes, which are compared exactly."""
    polygons, _ = find_polygons(shrink_map, size, **config.postprocess.to_dict())
    return [polygon.tobytes() for polygon in polygons]


def _without(boxes: Sequence[bytes], others: Sequence[bytes]) -> list[bytes]:
    """The boxes that are left when each of the others has removed one equal to it."""
    left = list(boxes)
    for box in others:
        if box in left:
            left.remove(box)
    return left


def _judge(rows: list[dict[str, Any]], tolerance: float) -> dict[str, Any]:
    """The figures of all images together, and whether they pass."""
    difference = max(row["map_difference"] for row in rows)
    found, of_file, same = (
        sum(row[key] for row in rows) for key in ("boxes", "boxes_of_file", "boxes_identical")
    )
    other = max(found, of_file) - same  # boxes of one side without a counterpart on the other
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


def explain(figures: Mapping[str, Any]) -> str:
    """The figures of a comparison in one line."""
    sizes = dict.fromkeys("x".join(map(str, row["size"])) for row in figures["images"])
    return (
        f"maps differ by at most {figures['map_difference']:.2g} (limit "
        f"{figures['map_tolerance']:g}), {figures['boxes_identical']} of {figures['boxes']} boxes "
        f"are identical; at {', '.join(sizes)}"
    )
