"""Label Studio's export: JSON (tasks with annotations) and JSON-MIN (one mapping per picture).

Coordinates are percent of the picture's sides; boxes turn clockwise about their upper left corner.
"""

import base64
import binascii
import io
import json
import re
import urllib.parse
from functools import partial

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
from ppocr_jax.data.image_files import read_header, read_size
from ppocr_jax.data.labels import IMAGE_SUFFIXES

TEXTS = ("transcription", "text")  # the only text of a picture stands there without a list
SHAPE_KEYS = ("points", "vertices", "rle", "radiusX", "width")
PLACE = ("x", "y", *SHAPE_KEYS, "height", "rotation")
HASH = re.compile(r"^[0-9a-f]{8}-")  # that an upload gets before its name


class LABEL_STUDIO:
    """See `annotations.JSON_FORMATS`."""

    @staticmethod
    def fits(value):
        tasks = list(map(_as_task, value if isinstance(value, list) else [value]))
        return bool(tasks) and all(
            isinstance(task, dict) and (_is_task(task) or _is_min(task)) for task in tasks
        )

    @staticmethod
    def read(value, path, job):
        """`Labelled` of every task that somebody has finished."""
        for number, task in enumerate(value if isinstance(value, list) else [value], 1):
            task = _as_task(task)
            where = f"{path} task {task.get('id', number)}"
            try:
                yield from _read_task(task, where, path, job)
            except MALFORMED as error:
                job.findings.refuse(where, said(error), _address(task) or "")


def _as_task(task):
    """A task; what its storage keeps is an annotation with the task inside."""
    inner = task.get("task") if isinstance(task, dict) else None
    if isinstance(inner, dict) and isinstance(task.get("result"), list):
        return {**inner, "annotations": [task]}
    return task


def _is_task(task):
    return isinstance(task.get("data"), dict) and isinstance(
        task.get("annotations", task.get("completions")), list
    )


def _is_min(task):
    marks = ("annotator", "annotation_id", "lead_time", "created_at", "updated_at")
    return _address(task) is not None and (
        any(mark in task for mark in marks) or bool(_min_regions(task))
    )


def _address(task):
    """The picture's address: of `data.image`, `data.ocr`, or the one value that is a picture's."""
    data = task["data"] if isinstance(task.get("data"), dict) else task
    values = [data.get("image"), data.get("ocr"), *data.values()]
    for value in values:
        plain = urllib.parse.urlsplit(value) if isinstance(value, str) else None
        if plain and f"{plain.path}{plain.query}".lower().endswith(IMAGE_SUFFIXES):
            return value
    pictures = [v for v in values if isinstance(v, str) and v.startswith("data:image/")]
    return next((v for v in [*pictures, *values[:2]] if isinstance(v, str) and v.strip()), None)


def _read_task(task, where, path, job):
    regions = _task_regions(task) if _is_task(task) else _min_regions(task)
    if regions and not _is_task(task) and _without_text(task, regions):
        lost = "pictures whose texts are not one per region, so that JSON-MIN does not tell whose"
        job.findings.count(f"{lost} they are: they are left out, JSON keeps them", where)
    if regions is None:
        raise ValueError("nobody has finished an annotation of it")
    address = _address(task)
    if address is None:
        raise ValueError("its data name no picture")
    embedded = partial(_decode, address) if address.startswith("data:") else None
    picture = "" if embedded else _find(address, task.get("file_upload"), path, job)
    if any(region.get("image_rotation") for region in regions):
        raise ValueError("was turned in Label Studio (image_rotation): turn the file instead")
    size = _stated_size(regions)
    words = Words(where, job.findings)
    frame = size or (_embedded_size(embedded()) if embedded else read_size(picture))
    for region in regions if frame else ():
        _read_region(region, frame, words, f"{where} region {region.get('id', '')}".strip(), job)
    name = "" if embedded else address
    yield Labelled(name, where, picture, words.finish(), size, True, embedded)


def _decode(address):
    """The bytes of a picture that stands in its own address, `data:image/png;base64,...`."""
    try:
        return base64.b64decode(address.rpartition("base64,")[2])
    except (binascii.Error, ValueError):
        raise ValueError("the picture inside is no base64") from None


def _embedded_size(data):
    header = read_header(io.BytesIO(data))
    return header and header.size


def _find(address, upload, path, job):
    """The picture of an address such as `/data/upload/1/8a6fd2c1-photo%201.jpg`."""
    parts = urllib.parse.urlsplit(address)
    local = urllib.parse.parse_qs(parts.query).get("d")  # /data/local-files/?d=folder/photo.jpg
    name = local[0] if local else urllib.parse.unquote(parts.path) or address
    last = name.replace("\\", "/").rpartition("/")[2]
    names = [name, last, HASH.sub("", last), address]
    if isinstance(upload, str) and upload:
        names += [upload, HASH.sub("", upload)]
    for other in dict.fromkeys(names[1:]):
        try:
            return job.pictures.find(other, path.parent)
        except ValueError:
            continue
    return job.pictures.find(name.lstrip("/"), path.parent)


def _stated_size(regions):
    for region in regions:
        size = size_of(region.get("original_height"), region.get("original_width"))
        if size:
            return size
    return None


# --- tasks and JSON-MIN -> regions: mappings with a shape, labels, texts --------------------------


def _task_regions(task):
    """Regions of the annotation that counts; None where there is none."""
    done = [
        item
        for item in task.get("annotations", task.get("completions"))
        if isinstance(item, dict) and not (item.get("was_cancelled") or item.get("skipped"))
    ]
    if not done:
        return None
    truth = [item for item in done if item.get("ground_truth")] or done
    chosen = max(truth, key=lambda item: str(item.get("updated_at") or item.get("created_at")))
    regions = {}
    for number, item in enumerate(chosen.get("result") or ()):
        if not isinstance(item, dict) or not isinstance(item.get("value"), dict):
            continue  # a relation, which has none
        region = regions.setdefault(item.get("id", number), {"id": item.get("id", number)})
        outer = {k: item[k] for k in ("original_width", "original_height", "image_rotation",
                                      "meta") if k in item}  # fmt: skip
        _merge(region, {**item["value"], **outer})
    return [region for region in regions.values() if _has_shape(region)]


def _min_regions(task):
    """Regions of JSON-MIN: lists of shapes under the names of the controls, and of texts; None
    where nobody has labelled it."""
    if task.get("annotation_id", 0) is None:
        return None
    regions, order = {}, []
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
    # Texts and classes have the order of drawing; shapes have it for each kind of shape alone.
    if len(order) == len(regions) == len(set(order)):
        regions = {key: regions[key] for key in order}
    for column in texts:  # one text per region
        if len(column) == len(regions):
            for region, text in zip(regions.values(), column, strict=True):
                region.setdefault("text", text)
    return list(regions.values())


def _without_text(task, regions):
    """Whether texts were written of which nobody knows to what region they belong."""
    return any(_parsed(task.get(key)) or task.get(key) for key in TEXTS) and not any(
        region.get("text") for region in regions
    )


def _parsed(value):
    """A list, also where it is written as text, as in exports of some versions; else []."""
    if isinstance(value, str) and value[:1] == "[":
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return []
    return value if isinstance(value, list) else []


def _merge(region, item):
    """Adds what another control says of the same region."""
    labels = region.get("labels_", [])
    for key, value in item.items():
        if (key.endswith("labels") or key == "choices") and isinstance(value, list):
            labels = labels + value
        else:
            region[key] = value
    region["labels_"] = labels


def _has_shape(item):
    return any(key in item for key in SHAPE_KEYS)


# --- a region -> its words ------------------------------------------------------------------------


def _read_region(region, frame, words, where, job):
    labels = region.get("labels_", [])
    label = next((v for v in labels if isinstance(v, str)), None)
    if not any(map(says_ignored, labels)) and not job.takes(label):
        return
    text = region.get("text")
    if isinstance(text, list):
        text = " ".join(part for part in text if isinstance(part, str))
    meta = region.get("meta") if isinstance(region.get("meta"), dict) else {}
    if not text and isinstance(meta.get("text"), list):
        text = " ".join(map(str, meta["text"]))
    flags = {**region, **meta}
    ignored = any(map(says_ignored, labels)) or any(
        says_ignored(key) and is_set(value) for key, value in flags.items()
    )
    words.add_parts(lambda: _polygons(region, *frame), where, text, ignored)


def _polygons(region, height, width):
    """Polygons of a region, in pixels of a picture of this size."""
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


def _number(region, key, default=None):
    value = region.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{key} is no number")
    return float(value)
