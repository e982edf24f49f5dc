"""Tasks of Label Studio's exports -> regions: mappings with a shape, labels and perhaps a text.

Both exports spread what belongs to one region: JSON over several results with one id, JSON-MIN over
one list per control of the labelling page.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

TEXTS = ("transcription", "text")  # keys of texts; JSON-MIN writes a single text without a list
SHAPE_KEYS = ("points", "vertices", "rle", "radiusX", "width")
PLACE = ("x", "y", *SHAPE_KEYS, "height", "rotation")


def is_task(task: Mapping[str, Any]) -> bool:
    """Whether it is a task of the JSON export; older versions say completions for annotations."""
    return isinstance(task.get("data"), dict) and isinstance(
        task.get("annotations", task.get("completions")), list
    )


def task_regions(task: Mapping[str, Any]) -> list[dict[str, Any]] | None:
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


def min_regions(task: Mapping[str, Any]) -> list[dict[str, Any]] | None:
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
        # JSON-MIN has no ids: a region is recognised by its exact place.
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


def without_text(task: Mapping[str, Any], regions: Iterable[Mapping[str, Any]]) -> bool:
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
