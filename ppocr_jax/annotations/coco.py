"""COCO's JSON: `images` and `annotations` with polygons, boxes or masks."""

import collections
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ppocr_jax.annotations import masks, shapes
from ppocr_jax.annotations.records import (
    LabelledImage,
    Words,
    flags_ignored,
    says_ignored,
    size_of,
)

if TYPE_CHECKING:
    from ppocr_jax.annotations.sources import Job

# COCO has no key for the transcription; these are the ones that exporters use.
TEXTS = ("utf8_string", "text", "transcription", "rec_text", "caption", "word")


class COCO:
    """Reads COCO, see `annotations.JSON_FORMATS`."""

    @staticmethod
    def fits(value: Any) -> bool:
        """Whether parsed JSON has COCO's two lists."""
        return (
            isinstance(value, dict)
            and isinstance(value.get("images"), list)
            and isinstance(value.get("annotations"), list)
        )

    @staticmethod
    def read(value: dict[str, Any], path: pathlib.Path, job: "Job") -> Iterator[LabelledImage]:
        """Yields every listed image; one without annotations has no text."""
        names = {
            category.get("id"): category.get("name")
            for category in value.get("categories") or ()
            if isinstance(category, dict)
        }
        by_image = collections.defaultdict(list)
        for number, annotation in enumerate(value["annotations"], 1):
            if not isinstance(annotation, dict):
                raise ValueError(f"annotation {number} is not a mapping")
            by_image[_key(annotation.get("image_id"))].append(annotation)
        for number, image in enumerate(value["images"], 1):
            where = f"{path} image {number}"
            if not isinstance(image, dict):
                raise ValueError(f"image {number} is not a mapping")
            annotations = by_image.pop(_key(image.get("id")), ())
            yield from read_image(image, annotations, names, where, path, job)
        # What is left belongs to no image, which hints at a file that was cut or edited.
        for key, lost in by_image.items():
            job.findings.refuse(
                f"{path} image_id {key}", f"{len(lost)} annotations of an image that is not listed"
            )


def read_image(
    image: Mapping[str, Any],
    annotations: Iterable[Mapping[str, Any]],
    names: Mapping[Any, Any],
    where: str,
    path: pathlib.Path,
    job: "Job",
) -> Iterator[LabelledImage]:
    """Yields one image; an image that cannot be used is refused in `job.findings` instead.

    Args:
        image: its entry in `images`.
        annotations: its entries in `annotations`.
        names: category id -> name.
        where: position in the label file, for messages.
        path: the label file.
        job: what all readers share.
    """
    name = image.get("file_name") or image.get("path") or image.get("coco_url")
    if not isinstance(name, str) or not name.strip():
        job.findings.refuse(where, "has no file_name")
        return
    size = size_of(image.get("height"), image.get("width"))
    words = Words(f"{where} ({name})", job.findings)
    for annotation in annotations:
        read_word(annotation, names, f"{path} annotation {annotation.get('id')}", size, words, job)
    try:
        image_path = job.images.find(name, path.parent)
        yield LabelledImage(name, where, image_path, words.finish(), size)
    except ValueError as error:
        job.findings.refuse(where, error, name)


def read_word(
    annotation: Mapping[str, Any],
    names: Mapping[Any, Any],
    where: str,
    size: tuple[int, int] | None,
    words: Words,
    job: "Job",
) -> None:
    """Adds the word of one annotation to `words`; `size` is (height, width) of the image."""
    attributes = annotation.get("attributes")
    attributes = attributes if isinstance(attributes, dict) else {}
    category = names.get(annotation.get("category_id"))
    if not job.takes(category):
        return
    # Users name attributes themselves, so case does not matter there.
    own = {str(key).casefold(): value for key, value in attributes.items()}
    text = next((v for k in TEXTS for v in (annotation.get(k), own.get(k)) if v), "")
    flags = flags_ignored(annotation, TEXTS) or flags_ignored(own, TEXTS)
    ignored = says_ignored(category) or flags
    words.add_parts(lambda: _polygons(annotation, attributes, size), where, text, ignored)


def _polygons(
    annotation: Mapping[str, Any], attributes: Mapping[str, Any], size: tuple[int, int] | None
) -> list[np.ndarray]:
    """Polygons of an annotation: from its segmentation, or else from its box."""
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, dict):
        return _of_mask(segmentation, size)
    if isinstance(segmentation, list) and segmentation:
        if isinstance(segmentation[0], dict):
            return [polygon for part in segmentation for polygon in _of_mask(part, size)]
        # COCO has a list of polygons here; some exporters write the one polygon without a list.
        flat = not isinstance(segmentation[0], list)
        parts = [pairs(part) for part in ([segmentation] if flat else segmentation)]
        outlines = [part for part in parts if len(part) > 2]
        if outlines:
            return shapes.join_parts(outlines)
        if any(map(len, parts)):
            raise ValueError("a segmentation of fewer than 3 points")
    return [_of_box(annotation.get("bbox"), attributes)]


def pairs(numbers: Any) -> np.ndarray:
    """`[x, y, x, y, ...]`, or a list of pairs, as float64 `[P, 2]`.

    Raises:
        ValueError: the numbers do not form pairs, or one is not finite.
    """
    points = np.array(numbers, np.float64)
    if points.ndim == 1 and len(points) % 2:
        raise ValueError(f"a polygon of {len(points)} numbers, which do not form pairs")
    if not np.isfinite(points).all():
        raise ValueError("a point is not finite")
    return points.reshape(-1, 2)


def _of_mask(mask: Mapping[str, Any], size: tuple[int, int] | None) -> list[np.ndarray]:
    """Outlines of a run-length mask `{"size": [height, width], "counts": ...}`."""
    height, width = mask.get("size") or (0, 0)
    if size is not None and (height, width) != size:
        raise ValueError(f"a mask of {width}x{height} pixels in an image of {size[1]}x{size[0]}")
    found = masks.mask_polygons(masks.decode_counts(mask.get("counts"), height, width))
    if not found:
        raise ValueError("a mask without a pixel")
    return shapes.join_parts(found)


def _of_box(box: Any, attributes: Mapping[str, Any]) -> np.ndarray:
    """Corners of a `bbox`, float64 `[4, 2]`, in any of three forms.

    4 numbers: `[x, y, w, h]`, rotated by the attribute `rotation` as in CVAT's exports.
    5 numbers: `[cx, cy, w, h, degrees counter-clockwise]`, as Detectron2 has them.
    8 numbers: the four corners.
    """
    numbers = np.array(box, np.float64) if isinstance(box, list) else np.zeros(0)
    if not np.isfinite(numbers).all():
        raise ValueError("a number of the bbox is not finite")
    if numbers.shape == (8,):
        return numbers.reshape(4, 2)
    if numbers.shape == (5,):
        x, y, width, height, degrees = numbers
        return shapes.rotated_box(
            x - width / 2, y - height / 2, width, height, -degrees, pivot="centre"
        )
    if numbers.shape != (4,):
        raise ValueError("neither a segmentation nor a bbox of 4, 5 or 8 numbers")
    degrees = attributes.get("rotation")
    degrees = degrees if isinstance(degrees, (int, float)) else 0.0
    x, y, width, height = numbers
    return shapes.rotated_box(x, y, width, height, degrees, pivot="centre")


def _key(value: Any) -> str:
    """An id as text, since some tools write numbers in one place and text in the other."""
    return str(value)
