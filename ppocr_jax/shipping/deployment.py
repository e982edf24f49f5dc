"""The description that is shipped with weights: how to prepare images and how to read the maps.

The same dictionary goes into the metadata of an ONNX file and into the JSON file beside it.
RapidOCR and PaddleOCR have their own defaults for all of these values; with the values given here
they find the boxes that `predict` finds.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from ppocr_jax import __version__
from ppocr_jax import config as configs
from ppocr_jax.models.pixels import MEAN, STD

PIXEL = 1.0 / 255.0


class Form(NamedTuple):
    """The options of an exported file.

    Attributes:
        suffix: ".onnx", ".pdparams" or ".stablehlo".
        opset: of ONNX.
        shape: the only (height, width) that it takes; None for any multiples of 32.
        include_normalisation: whether it takes raw pixels and normalises them itself.
        keep_batch_norm: whether batch norm stays as separate operations.
        quantize: whether it is quantised to 8 bits.
    """

    suffix: str
    opset: int = 13
    shape: tuple[int, int] | None = None
    include_normalisation: bool = False
    keep_batch_norm: bool = False
    quantize: bool = False

    @property
    def takes_pixels(self) -> bool:
        """Whether the file normalises its input itself; a StableHLO file always does."""
        return self.include_normalisation or self.suffix == ".stablehlo"


def describe(config: ConfigDict, role: str, form: Form, origin: str, digest: str) -> dict[str, Any]:
    """Everything that a user of the file needs to know, in JSON's types.

    Args:
        config: a whole config; `eval` says how images are resized, `postprocess` how maps are
            read.
        role: the network in the file, or "all".
        form: the options of the file.
        origin: where the weights come from, in words.
        digest: `weights.paddle.array_hash` of the weights.
    """
    height, width = form.shape or ("H", "W")
    batch = 1 if form.shape else "N"
    image = {"name": "x", "shape": [batch, 3, height, width], "dtype": "float32"}
    if form.suffix == ".stablehlo":
        image = {"shape": [batch, height, width, 3], "dtype": "uint8"}
    post = configs.plain(config.postprocess)
    return {
        "role": role,
        "input": {**image, "channels": "BGR", "sides": "multiples of 32"},
        "normalisation": {
            "included": form.takes_pixels,
            "formula": "(pixel * scale - mean) / std, channel by channel in BGR order",
            "scale": PIXEL,
            "mean": list(MEAN),
            "std": list(STD),
        },
        "resize": {
            "limit_side": config.eval.limit_side,
            "limit_type": config.eval.limit_type,
            "multiple": 32,
            "interpolation": "bilinear, as cv2.INTER_LINEAR",
        },
        "postprocess": post,
        "weights": {"from": origin, "hash": digest},
        "version": __version__,
        "config": configs.record(config),
    }


def rapidocr_parameters(
    config: ConfigDict, form: Form, path: str | os.PathLike[str]
) -> tuple[dict[str, Any], list[str]]:
    """The parameters with which RapidOCR runs an ONNX file as `predict` does.

    Args:
        config, form: as for `describe`.
        path: of the file.

    Returns:
        `(params, notes)`: for `RapidOCR(params=...)`; and lines on what RapidOCR cannot do.
    """
    post, rule = config.postprocess, config.eval
    included = form.include_normalisation
    params = {
        "Global.use_cls": False,
        "Global.use_rec": False,
        "Global.use_preprocess_img": False,  # or it would resize the image twice
        "Global.use_vertical_padding": False,
        "Det.model_path": str(path),
        "Det.limit_side_len": rule.limit_side,
        "Det.limit_type": rule.limit_type,
        # RapidOCR scales by 1/255 first; this mean and deviation undo it for raw pixels.
        "Det.mean": [0.0] * 3 if included else list(MEAN),
        "Det.std": [PIXEL] * 3 if included else list(STD),
        "Det.thresh": post.thresh,
        "Det.box_thresh": post.box_thresh,
        "Det.max_candidates": post.max_candidates,
        "Det.unclip_ratio": post.unclip_ratio,
        "Det.use_dilation": post.use_dilation,
        "Det.score_mode": post.score_mode,
    }
    notes = []
    if rule.limit_type not in ("min", "max"):
        notes.append(f"RapidOCR has no limit_type {rule.limit_type}: it resizes differently")
    if post.box_type != "quad":
        notes.append("RapidOCR finds rotated rectangles only, no polygons")
    if form.shape:
        notes.append("RapidOCR resizes every image by its own rule: it needs a file of free size")
    return params, notes


def paddleocr_arguments(
    config: ConfigDict, form: Form, path: str | os.PathLike[str]
) -> dict[str, Any]:
    """How PaddleOCR runs a file as `predict` does.

    Args:
        config, form, path: as for `rapidocr_parameters`.

    Returns:
        `{"command"}`; for a `.pdparams` file also `{"keys"}` of PaddleOCR's config.
    """
    post, rule = config.postprocess, config.eval
    if form.suffix == ".onnx":
        values = {
            "use_onnx": True,
            "det_model_dir": str(path),
            "det_algorithm": "DB",
            "det_limit_side_len": rule.limit_side,
            "det_limit_type": rule.limit_type,
            "det_db_thresh": post.thresh,
            "det_db_box_thresh": post.box_thresh,
            "det_db_unclip_ratio": post.unclip_ratio,
            "use_dilation": post.use_dilation,
            "det_db_score_mode": post.score_mode,
            "det_box_type": post.box_type,
        }
        arguments = " ".join(f"--{key}={value}" for key, value in values.items())
        return {"command": f"python tools/infer/predict_det.py --image_dir=IMAGES {arguments}"}
    keys = {"Global.pretrained_model": str(path).removesuffix(form.suffix)}
    for name in (
        "thresh",
        "box_thresh",
        "max_candidates",
        "unclip_ratio",
        "use_dilation",
        "score_mode",
        "box_type",
    ):
        keys[f"PostProcess.{name}"] = post[name]
    overrides = " ".join(f"{key}={value}" for key, value in keys.items())
    return {
        "keys": keys,
        "command": f"python tools/infer_det.py -c CONFIG.yml -o {overrides}",
    }
