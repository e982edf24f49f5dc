"""labelme's JSON, one file per picture; X-AnyLabeling writes the same with some more shapes."""

import base64
import binascii

import cv2
import numpy as np

from ppocr_jax.annotations import masks, shapes
from ppocr_jax.annotations.records import (
    MALFORMED,
    Labelled,
    Words,
    is_set,
    said,
    says_ignored,
    size_of,
)
from ppocr_jax.files import read_json

NO_AREA = ("point", "line", "linestrip", "points")  # shapes that no word has


class LABELME:
    """Versions 3 to 5, see `annotations.JSON_FORMATS`."""

    @staticmethod
    def fits(value):
        return (
            isinstance(value, dict)
            and isinstance(value.get("shapes"), list)
            and ("imagePath" in value or "imageData" in value)
        )

    @staticmethod
    def read(value, path, job):
        """`Labelled` of the one picture of a file."""
        words = Words(path, job.findings)
        for number, shape in enumerate(value["shapes"], 1):
            if not isinstance(shape, dict):
                raise ValueError(f"shape {number} is no mapping")
            _read_shape(shape, f"{path} shape {number}", words, job)
        embedded = isinstance(value.get("imageData"), str) and bool(value["imageData"])
        name = value.get("imagePath")
        name = name if isinstance(name, str) and name.strip() else ""
        yield Labelled(
            name=name or path.name,
            where=str(path),
            path=_find_picture(name, path, job, embedded),
            words=words.finish(),
            size=size_of(value.get("imageHeight"), value.get("imageWidth")),
            embedded=(lambda: _embedded(path)) if embedded else None,
        )


def _find_picture(name, path, job, embedded):
    """The picture by `imagePath`; else "" for the embedded one; else one named as the JSON is."""
    try:
        return job.pictures.find(name or path.stem, path.parent)
    except ValueError:
        if embedded:
            return ""
        beside = job.pictures.beside(path)
        if beside is None:
            raise
        job.findings.count("pictures found by the name of their .json alone", path)
        return beside


def _read_shape(shape, where, words, job):
    """Adds the word, or words, of one shape."""
    label, text = shape.get("label"), shape.get("description")
    if not job.takes(label):
        return
    kind = shape.get("shape_type") or "polygon"
    if kind in NO_AREA:
        job.findings.count(f"shapes left out: a {kind} has no area", where)
        return
    text = text if isinstance(text, str) and text.strip() else label
    flags = shape.get("flags") if isinstance(shape.get("flags"), dict) else {}
    ignored = (
        says_ignored(label)
        or says_ignored(text)
        or is_set(shape.get("difficult"))
        or any(says_ignored(flag) and is_set(value) for flag, value in flags.items())
    )
    try:
        polygons = _polygons(kind, shape)
    except MALFORMED as error:
        job.findings.drop(f"a {kind}: {said(error)}", where)
        return
    for polygon in polygons:
        words.add(polygon, text, ignored)


def _polygons(kind, shape):
    """Polygons of a shape. Raises ValueError or TypeError: its points are not what it needs."""
    points = shape.get("points")
    if not isinstance(points, list):
        raise ValueError("it has no points")
    if kind == "rectangle" and len(points) == 2:
        return [shapes.rectangle(*points)]
    if kind == "circle" and len(points) == 2:
        (x, y), edge = points
        radius = float(np.hypot(edge[0] - x, edge[1] - y))
        return [shapes.ellipse(x, y, radius, radius)]
    if kind == "mask":
        return _of_mask(points, shape.get("mask"))
    return [points]  # polygon, rotation, and rectangles of four points


def _of_mask(points, encoded):
    """Outlines of a mask that lies with its upper left corner on the first point."""
    picture = cv2.imdecode(np.frombuffer(_bytes(encoded), np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise ValueError("its mask is no picture")
    mask = (picture if picture.ndim == 2 else picture.max(2)) > 0
    corner = np.floor(np.min(np.array(points, np.float64), 0))
    return [polygon + corner for polygon in masks.mask_polygons(mask)]


def _embedded(path):
    return _bytes(read_json(path)["imageData"])


def _bytes(encoded):
    """Bytes from base64, also as the address of a web page (`data:image/png;base64,...`)."""
    if not isinstance(encoded, str):
        raise ValueError("there is no base64")
    try:
        return base64.b64decode(encoded.rpartition("base64,")[2], validate=False)
    except (binascii.Error, ValueError):
        raise ValueError("it is no base64") from None
