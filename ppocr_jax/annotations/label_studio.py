"""Label Studio's export: JSON (tasks with annotations) and JSON-MIN (one mapping per image).

Coordinates are percentages of the image's sides; boxes rotate clockwise about their upper left
corner.
"""

import base64
import binascii
import io
import pathlib
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ppocr_jax.annotations import masks, shapes
from ppocr_jax.annotations.label_studio_regions import (
    is_task,
    min_regions,
    task_regions,
    without_text,
)
from ppocr_jax.annotations.records import (
    MALFORMED,
    LabelledImage,
    Words,
    is_on,
    reason_of,
    says_ignored,
    size_of,
)
from ppocr_jax.data.image_files import read_header, read_size
from ppocr_jax.data.labels import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from ppocr_jax.annotations.sources import Job

HASH = re.compile(r"^[0-9a-f]{8}-")  # Label Studio puts it before the name of an upload


class LABEL_STUDIO:
    """Reads Label Studio's exports, see `annotations.JSON_FORMATS`."""

    @staticmethod
    def fits(value: Any) -> bool:
        """Whether parsed JSON is one task or a list of tasks, in either form."""
        tasks = list(map(_as_task, value if isinstance(value, list) else [value]))
        return bool(tasks) and all(
            isinstance(task, dict) and (is_task(task) or _is_min(task)) for task in tasks
        )

    @staticmethod
    def read(value: Any, path: pathlib.Path, job: "Job") -> Iterator[LabelledImage]:
        """Yields the image of every task that somebody has finished."""
        for number, task in enumerate(value if isinstance(value, list) else [value], 1):
            task = _as_task(task)
            where = f"{path} task {task.get('id', number)}"
            try:
                yield from _read_task(task, where, path, job)
            except MALFORMED as error:
                job.findings.refuse(where, reason_of(error), _address(task) or "")


def _as_task(task: Any) -> Any:
    """A task. Its cloud storage keeps an annotation with the task inside, which is turned round."""
    inner = task.get("task") if isinstance(task, dict) else None
    if isinstance(inner, dict) and isinstance(task.get("result"), list):
        return {**inner, "annotations": [task]}
    return task


def _is_min(task: Mapping[str, Any]) -> bool:
    """Whether it is an entry of the JSON-MIN export."""
    marks = ("annotator", "annotation_id", "lead_time", "created_at", "updated_at")
    return _address(task) is not None and (
        any(mark in task for mark in marks) or bool(min_regions(task))
    )


def _address(task: Mapping[str, Any]) -> str | None:
    """Address of the image: `data.image`, `data.ocr`, or the first value that names an image."""
    inner = task.get("data")
    data = inner if isinstance(inner, dict) else task
    values = [data.get("image"), data.get("ocr"), *data.values()]
    for value in values:
        plain = urllib.parse.urlsplit(value) if isinstance(value, str) else None
        if plain and f"{plain.path}{plain.query}".lower().endswith(IMAGE_SUFFIXES):
            return value
    embedded = [v for v in values if isinstance(v, str) and v.startswith("data:image/")]
    return next((v for v in [*embedded, *values[:2]] if isinstance(v, str) and v.strip()), None)


def _read_task(
    task: Mapping[str, Any], where: str, path: pathlib.Path, job: "Job"
) -> Iterator[LabelledImage]:
    # --- its regions
    regions = task_regions(task) if is_task(task) else min_regions(task)
    if regions and not is_task(task) and without_text(task, regions):
        job.findings.count(
            "images whose texts are left out, since JSON-MIN does not say which region each "
            "belongs to; the JSON export does",
            where,
        )
    if regions is None:
        raise ValueError("nobody has finished annotating it")
    # --- its image: a file, or base64 in the address
    address = _address(task)
    if address is None:
        raise ValueError("its data name no image")
    embedded = partial(_decode, address) if address.startswith("data:") else None
    image_path = "" if embedded else _find(address, task.get("file_upload"), path, job)
    if any(region.get("image_rotation") for region in regions):
        raise ValueError("was rotated in Label Studio (image_rotation): rotate the file instead")
    # --- its words: percentages of the labelled size, or else of the image's own
    size = _stated_size(regions)
    words = Words(where, job.findings)
    frame = size or (_embedded_size(embedded()) if embedded else read_size(image_path))
    if frame:
        for region in regions:
            place = f"{where} region {region.get('id', '')}".strip()
            _read_region(region, frame, words, place, job)
    name = "" if embedded else address
    yield LabelledImage(name, where, image_path, words.finish(), size, True, embedded)


def _decode(address: str) -> bytes:
    """The bytes of an image that its own address holds, `data:image/png;base64,...`."""
    try:
        return base64.b64decode(address.rpartition("base64,")[2])
    except (binascii.Error, ValueError):
        raise ValueError("the embedded image is not base64") from None


def _embedded_size(data: bytes) -> tuple[int, int] | None:
    header = read_header(io.BytesIO(data))
    return header and header.size


def _find(address: str, upload: Any, path: pathlib.Path, job: "Job") -> str:
    """Path of the image at an address such as `/data/upload/1/8a6fd2c1-photo%201.jpg`."""
    parts = urllib.parse.urlsplit(address)
    local = urllib.parse.parse_qs(parts.query).get("d")  # /data/local-files/?d=folder/photo.jpg
    name = local[0] if local else urllib.parse.unquote(parts.path) or address
    last = name.replace("\\", "/").rpartition("/")[2]
    names = [name, last, HASH.sub("", last), address]
    if isinstance(upload, str) and upload:
        names += [upload, HASH.sub("", upload)]
    # The name itself is tried last, so that the error is about it.
    for other in dict.fromkeys(names[1:]):
        try:
            return job.images.find(other, path.parent)
        except ValueError:
            continue
    return job.images.find(name.lstrip("/"), path.parent)


def _stated_size(regions: Iterable[Mapping[str, Any]]) -> tuple[int, int] | None:
    """(height, width) of the image that was labelled, if any region says so."""
    for region in regions:
        size = size_of(region.get("original_height"), region.get("original_width"))
        if size:
            return size
    return None


def _read_region(
    region: Mapping[str, Any], frame: tuple[int, int], words: Words, where: str, job: "Job"
) -> None:
    """Adds the words of one region; `frame` is (height, width) that percentages refer to."""
    labels: Sequence[Any] = region.get("labels_", [])
    label = next((v for v in labels if isinstance(v, str)), None)
    if not any(map(says_ignored, labels)) and not job.takes(label):
        return
    # The text may come from a control of its own, or from the region's notes.
    text = region.get("text")
    if isinstance(text, list):
        text = " ".join(part for part in text if isinstance(part, str))
    raw = region.get("meta")
    meta = raw if isinstance(raw, dict) else {}
    if not text and isinstance(meta.get("text"), list):
        text = " ".join(map(str, meta["text"]))
    flags = {**region, **meta}
    ignored = any(map(says_ignored, labels)) or any(
        says_ignored(key) and is_on(value) for key, value in flags.items()
    )
    words.add_parts(lambda: _polygons(region, *frame), where, text, ignored)


def _polygons(region: Mapping[str, Any], height: int, width: int) -> list[np.ndarray]:
    """Polygons of a region, in pixels of an image of this size."""
    scale = np.array([width, height]) / 100
    if "rle" in region:
        found = masks.mask_polygons(masks.decode_brush(region["rle"], height, width))
        if not found:
            raise ValueError("a brush without a pixel")
        return shapes.join_parts(found)
    if "points" in region or "vertices" in region:
        points = region.get("points") or [[p["x"], p["y"]] for p in region["vertices"]]
        points = np.array(points, np.float64)
        if points.ndim != 2 or points.shape[1] != 2:
            raise ValueError("the points are not pairs of numbers")
        return [points * scale]
    x, y = _number(region, "x") * scale[0], _number(region, "y") * scale[1]
    degrees = _number(region, "rotation", 0)
    if "radiusX" in region:
        radii = _number(region, "radiusX") * scale[0], _number(region, "radiusY") * scale[1]
        return [shapes.ellipse(x, y, *radii, degrees)]
    if "height" not in region:
        raise ValueError("a point has no area")
    size = _number(region, "width") * scale[0], _number(region, "height") * scale[1]
    return [shapes.rotated_box(x, y, *size, degrees)]


def _number(region: Mapping[str, Any], key: str, default: float | None = None) -> float:
    value = region.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{key} is not a number")
    return float(value)
