"""COCO's JSON: `images` and `annotations` with polygons, boxes or masks."""

import collections

import numpy as np

from ppocr_jax.annotations import masks, shapes
from ppocr_jax.annotations.records import (
    Labelled,
    Words,
    flags_ignored,
    says_ignored,
    size_of,
)

TEXTS = ("utf8_string", "text", "transcription", "rec_text", "caption", "word")


class COCO:
    """See `annotations.JSON_FORMATS`."""

    @staticmethod
    def fits(value):
        return (
            isinstance(value, dict)
            and isinstance(value.get("images"), list)
            and isinstance(value.get("annotations"), list)
        )

    @staticmethod
    def read(value, path, job):
        """`Labelled` of every picture that is listed; one without annotations has no text."""
        names = {
            category.get("id"): category.get("name")
            for category in value.get("categories") or ()
            if isinstance(category, dict)
        }
        by_image = collections.defaultdict(list)
        for number, annotation in enumerate(value["annotations"], 1):
            if not isinstance(annotation, dict):
                raise ValueError(f"annotation {number} is no mapping")
            by_image[_key(annotation.get("image_id"))].append(annotation)
        for number, image in enumerate(value["images"], 1):
            where = f"{path} image {number}"
            if not isinstance(image, dict):
                raise ValueError(f"image {number} is no mapping")
            annotations = by_image.pop(_key(image.get("id")), ())
            yield from read_picture(image, annotations, names, where, path, job)
        for key, lost in by_image.items():
            job.findings.refuse(
                f"{path} image_id {key}", f"{len(lost)} annotations of no image that is listed"
            )


def read_picture(image, annotations, names, where, path, job):
    """`Labelled` of one picture; nothing, with a refusal, where it cannot be taken."""
    name = image.get("file_name") or image.get("path") or image.get("coco_url")
    if not isinstance(name, str) or not name.strip():
        job.findings.refuse(where, "has no file_name")
        return
    size = size_of(image.get("height"), image.get("width"))
    words = Words(f"{where} ({name})", job.findings)
    for annotation in annotations:
        read_word(annotation, names, f"{path} annotation {annotation.get('id')}", size, words, job)
    try:
        picture = job.pictures.find(name, path.parent)
        yield Labelled(name, where, picture, words.finish(), size)
    except ValueError as error:
        job.findings.refuse(where, error, name)


def read_word(annotation, names, where, size, words, job):
    """Adds the word of one annotation."""
    attributes = annotation.get("attributes")
    attributes = attributes if isinstance(attributes, dict) else {}
    category = names.get(annotation.get("category_id"))
    if not job.takes(category):
        return
    own = {str(key).casefold(): value for key, value in attributes.items()}  # named by people
    text = next((v for k in TEXTS for v in (annotation.get(k), own.get(k)) if v), "")
    flags = flags_ignored(annotation, TEXTS) or flags_ignored(own, TEXTS)
    ignored = says_ignored(category) or flags
    words.add_parts(lambda: _polygons(annotation, attributes, size), where, text, ignored)


def _polygons(annotation, attributes, size):
    """Polygons of an annotation: of its segmentation, else of its box."""
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, dict):
        return _of_mask(segmentation, size)
    if isinstance(segmentation, list) and segmentation:
        flat = not isinstance(segmentation[0], (list, dict))
        if isinstance(segmentation[0], dict):
            return [polygon for part in segmentation for polygon in _of_mask(part, size)]
        parts = [pairs(part) for part in ([segmentation] if flat else segmentation)]
        outlines = [part for part in parts if len(part) > 2]
        if outlines:
            return shapes.join_parts(outlines)
        if any(map(len, parts)):
            raise ValueError("a segmentation of fewer than 3 points")
    return [_of_box(annotation.get("bbox"), attributes)]


def pairs(numbers):
    """`[x, y, x, y, ...]`, or pairs, as `[P, 2]`."""
    points = np.array(numbers, np.float64)
    if points.ndim == 1 and len(points) % 2:
        raise ValueError(f"a polygon of {len(points)} numbers, which are no pairs")
    if not np.isfinite(points).all():
        raise ValueError("a point is not finite")
    return points.reshape(-1, 2)


def _of_mask(mask, size):
    height, width = mask.get("size") or (0, 0)
    if size is not None and (height, width) != size:
        raise ValueError(f"a mask of {width}x{height} pixels in a picture of {size[1]}x{size[0]}")
    found = masks.mask_polygons(masks.decode_counts(mask.get("counts"), height, width))
    if not found:
        raise ValueError("a mask without a pixel")
    return shapes.join_parts(found)


def _of_box(box, attributes):
    """Corners of `[x, y, w, h]`, turned by the attribute `rotation` as CVAT does; of
    `[cx, cy, w, h, degrees counter-clockwise]` as Detectron2 has them; of four points."""
    numbers = np.array(box, np.float64) if isinstance(box, list) else np.zeros(0)
    if not np.isfinite(numbers).all():
        raise ValueError("a number of the bbox is not finite")
    if numbers.shape == (8,):
        return numbers.reshape(4, 2)
    if numbers.shape == (5,):
        x, y, width, height, degrees = numbers
        return shapes.turned_box(
            x - width / 2, y - height / 2, width, height, -degrees, pivot="centre"
        )
    if numbers.shape != (4,):
        raise ValueError("neither a segmentation nor a bbox of 4, 5 or 8 numbers")
    degrees = attributes.get("rotation")
    degrees = degrees if isinstance(degrees, (int, float)) else 0.0
    return shapes.turned_box(*numbers, degrees, pivot="centre")


def _key(value):
    """An id, as some tools write text where others write numbers."""
    return str(value)
