"""What stands beside shipped weights: how to feed them, how to read their maps, in every tool.

The same dictionary goes into an ONNX file's metadata and into the JSON file next to it. RapidOCR
and PaddleOCR have defaults of their own for all of it; with the values given here they find the
boxes that `predict` finds.
"""

from typing import Any, NamedTuple

from ppocr_jax import __version__
from ppocr_jax import config as configs
from ppocr_jax.models.pixels import MEAN, STD

PIXEL = 1.0 / 255.0


class Form(NamedTuple):
    """What was asked of an exported file.

    Attributes:
        suffix: ".onnx", ".pdparams" or ".stablehlo".
        opset: of ONNX.
        shape: (height, width) that it is made for; None: any multiples of 32.
        include_normalisation: whether it takes raw pixels.
        keep_batch_norm: whether batch norm stays an operation of its own.
        quantize: whether its weights and activations are 8 bits wide.
    """

    suffix: str
    opset: int = 13
    shape: tuple[int, int] | None = None
    include_normalisation: bool = False
    keep_batch_norm: bool = False
    quantize: bool = False

    @property
    def takes_pixels(self):
        """Whether the file normalises its input itself: StableHLO takes the decoded image."""
        return self.include_normalisation or self.suffix == ".stablehlo"


def describe(config, role, form, origin, digest) -> dict[str, Any]:
    """All that a user of the file needs to know, in JSON's types.

    Args:
        config: a whole config; `postprocess` and `eval` say how the maps are made and read.
        role: the network in the file, or "all".
        form: a `Form`.
        origin: what the weights came from, for people.
        digest: `weights.paddle.array_hash` of them.
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


def rapidocr_parameters(config, form, path) -> tuple[dict[str, Any], list[str]]:
    """`RapidOCR(params=...)` for an ONNX file, and lines on what RapidOCR cannot do.

    Args:
        config, form: as for `describe`.
        path: of the file.
    """
    post, rule = config.postprocess, config.eval
    included = form.include_normalisation
    params = {
        "Global.use_cls": False,
        "Global.use_rec": False,
        "Global.use_preprocess_img": False,  # no resizing before the network's own
        "Global.use_vertical_padding": False,
        "Det.model_path": str(path),
        "Det.limit_side_len": rule.limit_side,
        "Det.limit_type": rule.limit_type,
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
        notes.append(f"RapidOCR has no limit_type {rule.limit_type}: it resizes otherwise")
    if post.box_type != "quad":
        notes.append("RapidOCR finds rotated rectangles only, no polygons")
    if form.shape:
        notes.append("RapidOCR resizes every image by its own rule: it needs a file of free size")
    return params, notes


def paddleocr_arguments(config, form, path) -> dict[str, Any]:
    """What to tell PaddleOCR: its command line for an ONNX file, its keys for a `.pdparams`."""
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
