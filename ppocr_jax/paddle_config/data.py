"""PaddleOCR's `Train` and `Eval` -> `config.data`, the crop, the batch and `config.eval`."""

import math
import os

from ppocr_jax.paddle_config.ledger import as_bool, as_number, as_type, show

BUILT_IN = {  # what images and arrays go through here without being asked, and with what values
    "DecodeImage": {"img_mode": "BGR", "channel_first": False, "ignore_orientation": False},
    "NormalizeImage": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "order": "hwc"},
    "DetLabelEncode": {},
    "ToCHWImage": {},
    "KeepKeys": {},
}
MAX_SCALE = 20  # factors of the augmentation beyond this are a size in pixels


def read_training(conversion, cards):
    """The training split: where it lies, what is done with it, how it is batched."""
    train, config = conversion.section("Train"), conversion.config
    dataset, loader = train.sub("dataset"), train.sub("loader")
    if not dataset.tree:
        raise conversion.fail(("Train", "dataset"), "is missing: not a training config")
    dataset.put("data_dir", "data.root")
    _read_sources(dataset, "data.train", config.data.root)
    dataset.put("ratio_list", "data.ratios")
    dataset.expect("ext_op_transform_idx", (2,), "words to paste come from images as they are read")
    _read_dataset(dataset)
    _read_augmentation(dataset)
    loader.put("batch_size_per_card", "batch_size", change=lambda n: as_type(n, cards) * cards)
    loader.put("num_workers", "data.workers")
    loader.put("drop_last", "data.last_batch", change=lambda x: "drop" if as_bool(x) else "fill")
    loader.expect("shuffle", (True,), "every epoch has a random order")


def read_validation(conversion):
    """The validation split and the size of its images."""
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
            entry.drop(name, "validation images are decoded, resized and normalised, no more")
    loader.expect("drop_last", (False,), "every validation image counts")


def _read_sources(dataset, key, root):
    """Label files, named relative to the folder of their images where they lie below it."""
    value = dataset.get("label_file_list")
    files = value if isinstance(value, list) else [value] * (value is not None)

    def join(_):
        if not files or not all(isinstance(file, str) and file for file in files):
            raise ValueError("should name label files")
        if any("," in file for file in files):
            raise ValueError("a comma separates label files here, rename the file")
        return ",".join(_below(file, root) for file in files)

    dataset.put("label_file_list", key, change=join)
    if not files:
        stays = dataset.conversion.config.data[key.removeprefix("data.")]
        dataset.conversion.notes.append(f"no label_file_list for {key}, which stays {stays}")


def _below(file, root):
    """`file` relative to `root` when both are given in the same way and it lies below."""
    file, root = os.path.normpath(file), os.path.normpath(root)
    inside = os.path.isabs(file) == os.path.isabs(root) and root != "." and file.startswith(
        root.rstrip(os.sep) + os.sep
    )  # fmt: skip
    return os.path.relpath(file, root) if inside else file


def _read_dataset(dataset):
    dataset.expect("name", ("SimpleDataSet",), "label files with a line per image are read")
    dataset.expect("delimiter", ("\t", "\\t"), "path and labels are separated by a tab")


# -- transforms ------------------------------------------------------------------------------------


def _transforms(dataset):
    """`(entry, name)` of each transform; `entry.sub(name)` holds its arguments."""
    return [(e, name) for e in dataset.items("transforms") for name in map(str, e.tree)]


def _read_augmentation(dataset):
    """What is done with training images: a transform that is not in the list is switched off."""
    conversion, listed = dataset.conversion, _transforms(dataset)
    options, seen = conversion.config.data.augment, set()
    given = {name for _, name in listed}
    if "IaaAugment" not in given:
        options.flip, options.rotate, options.scale = 0.0, (0.0, 0.0), (1.0, 1.0)
    for name in ("EastRandomCropData", "MakeShrinkMap", "MakeBorderMap"):
        if name not in given:
            conversion.notes.append(f"{name} is not among the transforms, but always done here")
    for entry, name in listed:
        if name in seen:
            entry.drop(name, "stands twice; the first one counts")
        elif name in READERS:
            entry.carry(name, READERS[name][1])
            READERS[name][0](entry.sub(name))
        elif not _is_built_in(entry, name):
            entry.drop(name, "there is no such transform here")
        seen.add(name)
    options.paste = "CopyPaste" in given


def _is_built_in(entry, name):
    """Ends the arguments of a transform that is always done. Whether it is one."""
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


def _read_paste(section):
    section.put("objects_paste_ratio", "data.augment.paste_ratio")
    section.expect("limit_paste", (True,), "a pasted word never covers another")


def _read_geometry(section):
    """Flip, rotation and scale; one that a given list leaves out is switched off."""
    options = section.conversion.config.data.augment
    if "augmenter_args" not in section:
        section.carry("augmenter_args", "data.augment")
        return
    items = section.items("augmenter_args")
    if not items or any(not item.tree for item in items):
        section.drop("augmenter_args", "should be a list of type and args; data.augment stays")
        return
    off = {"flip": 0.0, "rotate": (0.0, 0.0), "scale": (1.0, 1.0)}
    for item in items:
        kind, arguments = show(item.get("type")), item.sub("args")
        if kind not in GEOMETRY or GEOMETRY[kind][1] not in off:
            again = kind in GEOMETRY
            item.drop("type", "stands twice" if again else "there is no such augmentation here")
            item.drop("args", "its type is not carried")
            continue
        name, key = GEOMETRY[kind]
        item.carry("type", f"data.augment.{key}")
        off_value = off.pop(key)
        absent = off_value if kind == "Affine" else None  # it may shear or shift alone
        change = as_number if key == "flip" else _as_range(MAX_SCALE if key == "scale" else 360)
        arguments.put(name, f"data.augment.{key}", absent=absent, change=change)
    options.update(off)


GEOMETRY = {"Fliplr": ("p", "flip"), "Affine": ("rotate", "rotate"), "Resize": ("size", "scale")}


def _as_range(limit):
    """A function that makes `(low, high)` of a pair or of one number."""

    def change(value):
        low, high = value if isinstance(value, list) and len(value) == 2 else (value, value)
        low, high = as_number(low), as_number(high)
        if low > high or max(abs(low), abs(high)) > limit:
            raise ValueError(f"should be a range within {limit}")
        return [low, high]

    return change


def _read_crop(section):
    section.put("size", "crop", absent=640, change=_square)
    section.put("max_tries", "data.augment.crop_tries", absent=10)
    section.put("min_crop_side_ratio", "data.augment.min_crop_side")
    section.expect("keep_ratio", (True,), "crops keep their ratio, the rest is black")


def _square(size):
    """The side of a square, given as a side or as two."""
    sides = size if isinstance(size, list) else [size]
    if len({as_number(side) for side in sides}) != 1:
        raise ValueError("a crop is square")
    return sides[0]


def _read_shrink(section):
    section.put("shrink_ratio", "data.targets.shrink_ratio")
    section.put("min_text_size", "data.targets.min_text_size")


def _read_border(section):
    """Both maps have one ratio here, that of the shrink map."""
    maps = section.conversion.section(*section.path[:2]).items("transforms")
    shrink = [entry.sub("MakeShrinkMap").get("shrink_ratio", 0.4) for entry in maps
              if "MakeShrinkMap" in entry.tree]  # fmt: skip
    section.expect("shrink_ratio", tuple(shrink), "is that of MakeShrinkMap",
                   "data.targets.shrink_ratio")  # fmt: skip
    section.put("thresh_min", "data.targets.thresh_min")
    section.put("thresh_max", "data.targets.thresh_max")


READERS = {  # transform: what reads its arguments, where one without arguments went
    "CopyPaste": (_read_paste, "data.augment.paste"),
    "IaaAugment": (_read_geometry, "data.augment"),
    "EastRandomCropData": (_read_crop, "crop"),
    "MakeShrinkMap": (_read_shrink, "data.targets"),
    "MakeBorderMap": (_read_border, "data.targets"),
}


def _read_resize(entry, name):
    """The size of validation images. Of several modes the first of PaddleOCR's order counts."""
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
            f"sides are rounded up to 128 there; eval.limit_side={math.ceil(side)} with "
            "eval.limit_type=resize_long, rounded to 32, is near",
        )
    for key in ("limit_side_len", "limit_type", "resize_long", "keep_ratio"):
        section.ignore(key, "PaddleOCR does not look at it beside the other arguments")
