"""PaddleOCR's `Train` and `Eval` -> `config.data`, the crop, the batch and `config.eval`."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

from ppocr_jax.paddle_config.ledger import (
    Conversion,
    Section,
    as_bool,
    as_number,
    as_type,
    show,
)

# Transforms that are always done here, with the only values that their arguments can have.
BUILT_IN: dict[str, dict[str, Any]] = {
    "DecodeImage": {"img_mode": "BGR", "channel_first": False, "ignore_orientation": False},
    "NormalizeImage": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "order": "hwc"},
    "DetLabelEncode": {},
    "ToCHWImage": {},
    "KeepKeys": {},
}
MAX_SCALE = 20  # a larger factor of the augmentation must be meant as a size in pixels


def read_training(conversion: Conversion, cards: int) -> None:
    """Reads the training split: its files, augmentation and batches.

    Args:
        conversion: that is filled.
        cards: see `conversion.convert`.

    Raises:
        UserError: there is no training split.
    """
    train, config = conversion.section("Train"), conversion.config
    dataset, loader = train.sub("dataset"), train.sub("loader")
    if not dataset.tree:
        raise conversion.fail(("Train", "dataset"), "is missing: not a training config")
    dataset.put("data_dir", "data.root")
    _read_sources(dataset, "data.train", config.data.root)
    dataset.put("ratio_list", "data.ratios")
    dataset.expect("ext_op_transform_idx", (2,), "words are pasted from unaugmented images")
    _read_dataset(dataset)
    _read_augmentation(dataset)
    loader.put("batch_size_per_card", "batch_size", change=lambda n: as_type(n, cards) * cards)
    loader.put("num_workers", "data.workers")
    loader.put("drop_last", "data.last_batch", change=lambda x: "drop" if as_bool(x) else "fill")
    loader.expect("shuffle", (True,), "every epoch has a random order")


def read_validation(conversion: Conversion) -> None:
    """Reads the validation split and the size of its images."""
    if "Eval" not in conversion.tree:
        conversion.notes.append(
            f"Eval is missing: evaluations need labels, data.val={conversion.config.data.val}"
        )
    dataset, loader = conversion.section("Eval", "dataset"), conversion.section("Eval", "loader")
    root, own = conversion.config.data.root, dataset.get("data_dir")
    _read_sources(dataset, "data.val", show(own or root))
    if own is not None and os.path.normpath(show(own)) != os.path.normpath(root):
        dataset.drop("data_dir", f"data.root={root} serves both splits: put its images below that")
    dataset.carry("data_dir", "data.root")
    ratios = dataset.get("ratio_list", 1.0)
    ratios = ratios if isinstance(ratios, list) else [ratios]
    whole = all(ratio == 1 for ratio in ratios)
    dataset.expect("ratio_list", (ratios, ratios[0]) if whole else (), "every image counts")
    _read_dataset(dataset)
    for entry, name in _transforms(dataset):
        if name == "DetResizeForTest":
            _read_resize(entry, name)
        elif not _is_built_in(entry, name):
            entry.drop(name, "validation images are only decoded, resized and normalised")
    loader.expect("drop_last", (False,), "every validation image counts")


def _read_sources(dataset: Section, key: str, root: str) -> None:
    """Reads the names of label files, relative to the folder of images where they are below it."""
    value = dataset.get("label_file_list")
    files = value if isinstance(value, list) else [value] * (value is not None)

    def join(_: Any) -> str:
        if not files or not all(isinstance(file, str) and file for file in files):
            raise ValueError("should name label files")
        if any("," in file for file in files):
            raise ValueError("commas separate label files here, rename the file")
        return ",".join(_below(file, root) for file in files)

    dataset.put("label_file_list", key, change=join)
    if not files:
        stays = dataset.conversion.config.data[key.removeprefix("data.")]
        dataset.conversion.notes.append(f"no label_file_list for {key}, which stays {stays}")


def _below(file: str, root: str) -> str:
    """`file` relative to `root` when it is below it, and both are absolute or both relative."""
    file, root = os.path.normpath(file), os.path.normpath(root)
    inside = os.path.isabs(file) == os.path.isabs(root) and root != "." and file.startswith(
        root.rstrip(os.sep) + os.sep
    )  # fmt: skip
    return os.path.relpath(file, root) if inside else file


def _read_dataset(dataset: Section) -> None:
    """Reads the form of the label files, which is the same for both splits."""
    dataset.expect("name", ("SimpleDataSet",), "label files with a line per image are read")
    dataset.expect("delimiter", ("\t", "\\t"), "path and labels are separated by a tab")


# -- transforms ------------------------------------------------------------------------------------


def _transforms(dataset: Section) -> list[tuple[Section, str]]:
    """`(entry, name)` of each transform; `entry.sub(name)` holds its arguments."""
    return [(e, name) for e in dataset.items("transforms") for name in map(str, e.tree)]


def _read_augmentation(dataset: Section) -> None:
    """Reads the transforms of training images; those that are not listed are switched off."""
    conversion, listed = dataset.conversion, _transforms(dataset)
    options = conversion.config.data.augment
    seen: set[str] = set()
    given = {name for _, name in listed}
    if "IaaAugment" not in given:
        options.flip, options.rotate, options.scale = 0.0, (0.0, 0.0), (1.0, 1.0)
    for name in ("EastRandomCropData", "MakeShrinkMap", "MakeBorderMap"):
        if name not in given:
            conversion.notes.append(f"{name} is not among the transforms, but always done here")
    for entry, name in listed:
        if name in seen:
            entry.drop(name, "is listed twice; the first one counts")
        elif name in READERS:
            entry.carry(name, READERS[name][1])
            READERS[name][0](entry.sub(name))
        elif not _is_built_in(entry, name):
            entry.drop(name, "there is no such transform here")
        seen.add(name)
    options.paste = "CopyPaste" in given


def _is_built_in(entry: Section, name: str) -> bool:
    """Whether a transform is always done here; if so, ends the leaves of its arguments."""
    if name not in BUILT_IN:
        return False
    if name not in ("ToCHWImage", "KeepKeys"):
        entry.carry(name, "built in")
    arguments = entry.sub(name)
    for key, value in BUILT_IN[name].items():
        arguments.expect(key, (value,), f"is {show(value)} here")
    if name == "NormalizeImage":
        scales = (1 / 255, "1./255.", "1/255.", "1.0/255.0", "1./255", "1/255")
        arguments.expect("scale", scales, "is 1/255 here")
    return True


def _read_paste(section: Section) -> None:
    section.put("objects_paste_ratio", "data.augment.paste_ratio")
    section.expect("limit_paste", (True,), "a pasted word never covers another")


def _read_geometry(section: Section) -> None:
    """Reads flip, rotation and scale; those that are not listed are switched off."""
    options = section.conversion.config.data.augment
    if "augmenter_args" not in section:
        section.carry("augmenter_args", "data.augment")
        return
    items = section.items("augmenter_args")
    if not items or any(not item.tree for item in items):
        section.drop("augmenter_args", "should be a list of type and args; data.augment stays")
        return
    off: dict[str, Any] = {"flip": 0.0, "rotate": (0.0, 0.0), "scale": (1.0, 1.0)}
    for item in items:
        kind, arguments = show(item.get("type")), item.sub("args")
        if kind not in GEOMETRY or GEOMETRY[kind][1] not in off:
            again = kind in GEOMETRY
            item.drop("type", "is listed twice" if again else "there is no such augmentation here")
            item.drop("args", "its type is not carried")
            continue
        name, key = GEOMETRY[kind]
        item.carry("type", f"data.augment.{key}")
        off_value = off.pop(key)
        absent = off_value if kind == "Affine" else None  # an Affine may only shear or shift
        limit = MAX_SCALE if key == "scale" else 360
        change: Callable[[Any], Any] = as_number if key == "flip" else _as_range(limit)
        arguments.put(name, f"data.augment.{key}", absent=absent, change=change)
    options.update(off)


# imgaug's name: its argument, and the key of `data.augment`.
GEOMETRY = {"Fliplr": ("p", "flip"), "Affine": ("rotate", "rotate"), "Resize": ("size", "scale")}


def _as_range(limit: float) -> Callable[[Any], list[float]]:
    """A function that makes `[low, high]` of a pair or of one number."""

    def change(value: Any) -> list[float]:
        low, high = value if isinstance(value, list) and len(value) == 2 else (value, value)
        low, high = as_number(low), as_number(high)
        if low > high or max(abs(low), abs(high)) > limit:
            raise ValueError(f"should be a range within {limit}")
        return [low, high]

    return change


def _read_crop(section: Section) -> None:
    section.put("size", "crop", absent=640, change=_square)
    section.put("max_tries", "data.augment.crop_tries", absent=10)
    section.put("min_crop_side_ratio", "data.augment.min_crop_side")
    section.expect("keep_ratio", (True,), "crops keep their aspect ratio, with black padding")


def _square(size: Any) -> Any:
    """The side of a square, given as one number or two. Raises ValueError where they differ."""
    sides = size if isinstance(size, list) else [size]
    if len({as_number(side) for side in sides}) != 1:
        raise ValueError("a crop is square")
    return sides[0]


def _read_shrink(section: Section) -> None:
    section.put("shrink_ratio", "data.targets.shrink_ratio")
    section.put("min_text_size", "data.targets.min_text_size")


def _read_border(section: Section) -> None:
    """Reads the range of the threshold map; its ratio is that of the shrink map here."""
    maps = section.conversion.section(*section.path[:2]).items("transforms")
    shrink = [entry.sub("MakeShrinkMap").get("shrink_ratio", 0.4) for entry in maps
              if "MakeShrinkMap" in entry.tree]  # fmt: skip
    section.expect("shrink_ratio", tuple(shrink), "is that of MakeShrinkMap",
                   "data.targets.shrink_ratio")  # fmt: skip
    section.put("thresh_min", "data.targets.thresh_min")
    section.put("thresh_max", "data.targets.thresh_max")


# Transform: the function that reads its arguments, and where one without arguments went.
READERS: dict[str, tuple[Callable[[Section], None], str]] = {
    "CopyPaste": (_read_paste, "data.augment.paste"),
    "IaaAugment": (_read_geometry, "data.augment"),
    "EastRandomCropData": (_read_crop, "crop"),
    "MakeShrinkMap": (_read_shrink, "data.targets"),
    "MakeBorderMap": (_read_border, "data.targets"),
}


def _read_resize(entry: Section, name: str) -> None:
    """Reads the size of validation images; of several modes, the first in PaddleOCR's order."""
    section, config = entry.sub(name), entry.conversion.config
    entry.carry(name, "eval.limit_side = 736, eval.limit_type = min")
    if "image_shape" in section:
        for key in ("image_shape", "keep_ratio"):
            section.drop(key, "images keep their ratio and size up to eval.limit_side here")
    elif "limit_side_len" in section:
        section.put("limit_side_len", "eval.limit_side")
        section.put("limit_type", "eval.limit_type")
    elif "resize_long" in section:
        try:
            side = as_number(section.get("resize_long"))
        except ValueError:
            side = config.eval.limit_side
        config.eval.limit_side, config.eval.limit_type = math.ceil(side), "resize_long"
        section.drop(
            "resize_long",
            "PaddleOCR rounds sides up to multiples of 128; "
            f"eval.limit_side={math.ceil(side)} with eval.limit_type=resize_long rounds to 32",
        )
    for key in ("limit_side_len", "limit_type", "resize_long", "keep_ratio"):
        section.ignore(key, "PaddleOCR does not read it beside the other arguments")
