"""Label Studio's export: JSON (tasks with annotations) and JSON-MIN (one mapping per image).

Coordinates are percentages of the image's sides; boxes rotate clockwise about their upper left
corner.
"""

import base64
import binascii
import io
import json
import pathlib
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ppocr_jax.annotations import masks, shapes
from ppocr_jax.annotations.records import (
    MALFORMED,
    LabelledImage,
    Words,
    is_set,
    reason_of,
    says_ignored,
    size_of,
)
from ppocr_jax.data.image_files import read_header, read_size
from ppocr_jax.data.labels import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from ppocr_jax.annotations.sources import Job

TEXTS = ("transcription", "text")  # keys of texts; JSON-MIN writes a single text without a list
SHAPE_KEYS = ("points", "vertices", "rle", "radiusX", "width")
PLACE = ("x", "y", *SHAPE_KEYS, "height", "rotation")
HASH = re.compile(r"^[0-9a-f]{8}-")  # Label Studio puts it before the name of an upload


class LABEL_STUDIO:
    """Reads Label Studio's exports, see `annotations.JSON_FORMATS`."""

    @staticmethod
    def fits(value: Any) -> bool:
        """Whether parsed JSON is one task or a list of tasks, in either form."""
        tasks = list(map(_as_task, value if isinstance(value, list) else [value]))
        return bool(tasks) and all(
            isinstance(task, dict) and (_is_task(task) or _is_min(task)) for task in tasks
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


def _is_task(task: Mapping[str, Any]) -> bool:
    """Whether it is a task of the JSON export; older versions say completions for annotations."""
    return isinstance(task.get("data"), dict) and isinstance(
        task.get("annotations", task.get("completions")), list
    )


def _is_min(task: Mapping[str, Any]) -> bool:
    """Whether it is an entry of the JSON-MIN export."""
    marks = ("annotator", "annotation_id", "lead_time", "created_at", "updated_at")
    return _address(task) is not None and (
        any(mark in task for mark in marks) or bool(_min_regions(task))
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
    regions = _task_regions(task) if _is_task(task) else _min_regions(task)
    if regions and not _is_task(task) and _without_text(task, regions):
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


# --- tasks and JSON-MIN -> regions: mappings with a shape, labels, texts --------------------------


def _task_regions(task: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Regions of the annotation that counts; None if nobody has finished one.

    Of several, the latest counts, and one that is marked as ground truth before all others.
    """
    done = [
        item
        for item in task.get("annotations", task.get("completions")) or ()
        if isinstance(item, dict) and not (item.get("was_cancelled") or item.get("skipped"))
    ]
    if not done:
        return None
    truth = [item for item in done if item.get("ground_truth")] or done
    chosen = max(truth, key=lambda item: str(item.get("updated_at") or item.get("created_at")))
    # A region has one result for its shape, one for its label and one for its text, with one id.
    regions: dict[Any, dict[str, Any]] = {}
    for number, item in enumerate(chosen.get("result") or ()):
        if not isinstance(item, dict) or not isinstance(item.get("value"), dict):
            continue  # a relation between regions
        region = regions.setdefault(item.get("id", number), {"id": item.get("id", number)})
        outer = {k: item[k] for k in ("original_width", "original_height", "image_rotation",
                                      "meta") if k in item}  # fmt: skip
        _merge(region, {**item["value"], **outer})
    return [region for region in regions.values() if _has_shape(region)]


def _min_regions(task: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Regions of JSON-MIN; None if nobody has labelled the image.

    JSON-MIN has lists of shapes under the names of the controls, and separate lists of texts.
    """
    if task.get("annotation_id", 0) is None:
        return None
    regions: dict[str, dict[str, Any]] = {}
    order: list[str] = []
    texts = [[task[key]] for key in TEXTS if isinstance(task.get(key), str)]
    for value in task.values():
        value = _parsed(value)
        shapes_here = [v for v in value if isinstance(v, dict) and _has_shape(v)]
        keys = [json.dumps([item.get(k) for k in PLACE]) for item in shapes_here]
        for key, item in zip(keys, shapes_here, strict=True):
            _merge(regions.setdefault(key, {}), item)
        order = max(order, keys, key=len)
        if value and not shapes_here and all(isinstance(v, str) for v in value):
            texts.append(value)
    # Texts are in the order of drawing. Shapes are so only within one kind of shape, but the list
    # of classes repeats all of them in the order of drawing: use that one where it is complete.
    if len(order) == len(regions) == len(set(order)):
        regions = {key: regions[key] for key in order}
    for column in texts:
        if len(column) == len(regions):  # one text per region
            for region, text in zip(regions.values(), column, strict=True):
                region.setdefault("text", text)
    return list(regions.values())


def _without_text(task: Mapping[str, Any], regions: Iterable[Mapping[str, Any]]) -> bool:
    """Whether there are texts that could not be assigned to regions."""
    return any(_parsed(task.get(key)) or task.get(key) for key in TEXTS) and not any(
        region.get("text") for region in regions
    )


def _parsed(value: Any) -> list[Any]:
    """A list, also one that some versions export as a string; [] for anything else."""
    if isinstance(value, str) and value[:1] == "[":
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return []
    return value if isinstance(value, list) else []


def _merge(region: dict[str, Any], item: Mapping[str, Any]) -> None:
    """Adds to a region what another control says about it."""
    labels = region.get("labels_", [])
    for key, value in item.items():
        if (key.endswith("labels") or key == "choices") and isinstance(value, list):
            labels = labels + value
        else:
            region[key] = value
    region["labels_"] = labels


def _has_shape(item: Mapping[str, Any]) -> bool:
    return any(key in item for key in SHAPE_KEYS)


# --- a region -> its words ------------------------------------------------------------------------


def _read_region(
    region: Mapping[str, Any], frame: tuple[int, int], words: Words, where: str, job: "Job"
) -> None:
    """Adds the words of one region; `frame` is (height, width) that percentages refer to."""
    labels: Sequence[Any] = region.get("labels_", [])
    label = next((v for v in labels if isinstance(v, str)), None)
    if not any(map(says_ignored, labels)) and not job.takes(label):
        return
    # A text may stand in a control of its own, or in the region's notes.
    text = region.get("text")
    if isinstance(text, list):
        text = " ".join(part for part in text if isinstance(part, str))
    raw = region.get("meta")
    meta = raw if isinstance(raw, dict) else {}
    if not text and isinstance(meta.get("text"), list):
        text = " ".join(map(str, meta["text"]))
    flags = {**region, **meta}
    ignored = any(map(says_ignored, labels)) or any(
        says_ignored(key) and is_set(value) for key, value in flags.items()
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
    return [shapes.turned_box(x, y, *size, degrees)]


def _number(region: Mapping[str, Any], key: str, default: float | None = None) -> float:
    value = region.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{key} is not a number")
    return float(value)
