"""labelme's JSON, one file per image; X-AnyLabeling writes the same with a few more shapes."""

import base64
import binascii
import contextlib
import pathlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from ppocr_jax.annotations import masks, shapes
from ppocr_jax.annotations.records import (
    MALFORMED,
    LabelledImage,
    Words,
    flags_ignored,
    is_on,
    reason_of,
    says_ignored,
    size_of,
)
from ppocr_jax.data.label_polygons import as_polygon
from ppocr_jax.files import read_json

if TYPE_CHECKING:
    from ppocr_jax.annotations.sources import Job

NO_AREA = ("point", "line", "linestrip", "points")  # shapes that cannot be a word


class LABELME:
    """Reads labelme, versions 3 to 5, see `annotations.JSON_FORMATS`."""

    @staticmethod
    def fits(value: Any) -> bool:
        """Whether parsed JSON has `shapes` and an image."""
        return (
            isinstance(value, dict)
            and isinstance(value.get("shapes"), list)
            and ("imagePath" in value or "imageData" in value)
        )

    @staticmethod
    def read(value: dict[str, Any], path: pathlib.Path, job: "Job") -> Iterator[LabelledImage]:
        """Yields the one image of a file."""
        # --- shapes -> words: several shapes may be one word
        words = Words(path, job.findings)
        parts: dict[Hashable, list[_Part]] = {}
        for number, shape in enumerate(value["shapes"], 1):
            if not isinstance(shape, dict):
                raise ValueError(f"shape {number} is not a mapping")
            for part in _read_shape(shape, f"{path} shape {number}", job):
                parts.setdefault(_word_of(shape, number), []).append(part)
        for same in parts.values():
            for polygon in _join(same, job):
                words.add(polygon, same[0].text, same[0].ignored)
        # --- the image: a file, or base64 inside the label file
        embedded = isinstance(value.get("imageData"), str) and bool(value["imageData"])
        name = value.get("imagePath")
        name = name if isinstance(name, str) and name.strip() else ""
        yield LabelledImage(
            name=name or path.name,
            where=str(path),
            path=_find_image(name, path, job, embedded),
            words=words.finish(),
            size=size_of(value.get("imageHeight"), value.get("imageWidth")),
            # Read again when it is needed: all embedded images at once could fill the memory.
            embedded=(lambda: _embedded(path)) if embedded else None,
        )


def _find_image(name: str, path: pathlib.Path, job: "Job", embedded: bool) -> str:
    """Path of the image: by `imagePath`; else "" for the embedded one; else by the JSON's name."""
    try:
        return job.images.find(name or path.stem, path.parent)
    except ValueError:
        if embedded:
            return ""
        beside = job.images.beside(path)
        if beside is None:
            raise
        job.findings.count("images found only by the name of their .json", path)
        return beside


def _word_of(shape: Mapping[str, Any], number: int) -> Hashable:
    """A key that the shapes of one word share: labelme's `group_id` and equal descriptions."""
    group = shape.get("group_id")
    if group is None:
        return number
    return repr([group, shape.get("label"), shape.get("description"), shape.get("flags")])


class _Part(NamedTuple):
    """A polygon of a word; `named` is whether its text stands in its description."""

    polygon: Any
    text: Any
    ignored: bool
    named: bool
    where: str


def _join(parts: Sequence[_Part], job: "Job") -> list[Any]:
    """The polygons of one word.

    Parts that lie apart are joined only if they share a text of their own. A class and a group are
    no proof of one word: people also group the words of a line.
    """
    polygons, where = [part.polygon for part in parts], parts[0].where
    if len(parts) == 1:
        return polygons
    with contextlib.suppress(ValueError):  # a broken polygon is reported when it is added
        joined = shapes.join_parts(list(map(as_polygon, polygons)))
        if len(joined) == 1 and (parts[0].named or shapes.touch(polygons)):
            job.findings.count("words of several shapes, joined by their group_id", where)
            return joined
        job.findings.count("groups of shapes that lie apart; each shape became a word", where)
    return polygons


def _read_shape(shape: Mapping[str, Any], where: str, job: "Job") -> Iterator[_Part]:
    """Yields the parts of one shape: usually one, of a mask possibly several."""
    label, text = shape.get("label"), shape.get("description")
    if not job.takes(label):
        return
    kind = shape.get("shape_type") or "polygon"
    if kind in NO_AREA:
        job.findings.count(f"shapes skipped: a {kind} has no area", where)
        return
    # X-AnyLabeling keeps the text in the description and a class in the label; in labelme the
    # label often is the text.
    named = isinstance(text, str) and bool(text.strip())
    text = text if named else label
    raw = shape.get("flags")
    flags = raw if isinstance(raw, dict) else {}
    ignored = (
        says_ignored(label)
        or says_ignored(text)
        or is_on(shape.get("difficult"))
        or any(says_ignored(flag) and is_on(value) for flag, value in flags.items())
        or flags_ignored(shape.get("attributes"))
    )
    try:
        for polygon in _polygons(kind, shape):
            yield _Part(polygon, text, ignored, named, where)
    except MALFORMED as error:
        job.findings.drop(f"a {kind}: {reason_of(error)}", where)


def _polygons(kind: str, shape: Mapping[str, Any]) -> list[Any]:
    """Polygons of a shape. Raises one of MALFORMED: its points are not what the kind needs."""
    points = shape.get("points")
    if not isinstance(points, list):
        raise ValueError("it has no points")
    if kind == "rectangle" and len(points) == 2:
        return [shapes.rectangle(*points)]
    if kind == "circle" and len(points) == 2:  # the centre, and a point on the circle
        (x, y), edge = points
        radius = float(np.hypot(edge[0] - x, edge[1] - y))
        return [shapes.ellipse(x, y, radius, radius)]
    if kind == "mask":
        return _of_mask(points, shape.get("mask"))
    if kind == "oriented_rectangle" and len(points) == 3:  # the fourth corner follows
        first, corner, last = np.array(points, np.float64)
        return [[first, corner, last, first + last - corner]]
    return [points]  # polygon, rotation, and rectangles of four points


def _of_mask(points: list[Any], encoded: Any) -> list[np.ndarray]:
    """Outlines of a mask, an encoded image whose upper left corner lies on the first point."""
    picture = cv2.imdecode(np.frombuffer(_bytes(encoded), np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise ValueError("its mask is not an image")
    mask = (picture if picture.ndim == 2 else picture.max(2)) > 0
    corner = np.floor(np.min(np.array(points, np.float64), 0))
    return [polygon + corner for polygon in masks.mask_polygons(mask)]


def _embedded(path: pathlib.Path) -> bytes:
    return _bytes(read_json(path)["imageData"])


def _bytes(encoded: Any) -> bytes:
    """Bytes from base64, also with a `data:image/png;base64,` in front."""
    if not isinstance(encoded, str):
        raise ValueError("there is no base64")
    try:
        return base64.b64decode(encoded.rpartition("base64,")[2], validate=False)
    except (binascii.Error, ValueError):
        raise ValueError("it is not base64") from None
