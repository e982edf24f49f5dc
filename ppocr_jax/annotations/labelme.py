"""labelme's JSON, one file per picture; X-AnyLabeling writes the same with some more shapes."""

import base64
import binascii
import contextlib
from typing import NamedTuple

import cv2
import numpy as np

from ppocr_jax.annotations import masks, shapes
from ppocr_jax.annotations.records import (
    MALFORMED,
    Labelled,
    Words,
    flags_ignored,
    is_set,
    said,
    says_ignored,
    size_of,
)
from ppocr_jax.data.label_polygons import as_polygon
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
        words, parts = Words(path, job.findings), {}
        for number, shape in enumerate(value["shapes"], 1):
            if not isinstance(shape, dict):
                raise ValueError(f"shape {number} is no mapping")
            for part in _read_shape(shape, f"{path} shape {number}", job):
                parts.setdefault(_word_of(shape, number), []).append(part)
        for same in parts.values():
            for polygon in _join(same, job):
                words.add(polygon, same[0].text, same[0].ignored)
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


def _word_of(shape, number):
    """What shapes that are parts of one word share: labelme's `group_id`, and all that is said."""
    group = shape.get("group_id")
    if group is None:
        return number
    return repr([group, shape.get("label"), shape.get("description"), shape.get("flags")])


def _join(parts, job):
    """The polygons of a word. Parts that lie apart are one where their text is known to be the
    same; a class and a group are shared by all words of a line as well."""
    polygons, where = [part.polygon for part in parts], parts[0].where
    if len(parts) == 1:
        return polygons
    with contextlib.suppress(ValueError):  # of one that is none: it is said where that is added
        joined = shapes.join_parts(list(map(as_polygon, polygons)))
        if len(joined) == 1 and (parts[0].named or shapes.touch(polygons)):
            job.findings.count("words of several shapes, which their group_id joins", where)
            return joined
        job.findings.count("groups of shapes that lie apart, of which each is a word", where)
    return polygons


class _Part(NamedTuple):
    """A polygon of a word; named: whether its text stands in its description."""

    polygon: np.ndarray
    text: str
    ignored: bool
    named: bool
    where: str


def _read_shape(shape, where, job):
    """Parts of one shape, usually one."""
    label, text = shape.get("label"), shape.get("description")
    if not job.takes(label):
        return
    kind = shape.get("shape_type") or "polygon"
    if kind in NO_AREA:
        job.findings.count(f"shapes left out: a {kind} has no area", where)
        return
    named = isinstance(text, str) and bool(text.strip())
    text = text if named else label
    flags = shape.get("flags") if isinstance(shape.get("flags"), dict) else {}
    ignored = (
        says_ignored(label)
        or says_ignored(text)
        or is_set(shape.get("difficult"))
        or any(says_ignored(flag) and is_set(value) for flag, value in flags.items())
        or flags_ignored(shape.get("attributes"))
    )
    try:
        for polygon in _polygons(kind, shape):
            yield _Part(polygon, text, ignored, named, where)
    except MALFORMED as error:
        job.findings.drop(f"a {kind}: {said(error)}", where)


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
    if kind == "oriented_rectangle" and len(points) == 3:
        first, corner, last = np.array(points, np.float64)
        return [[first, corner, last, first + last - corner]]
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
