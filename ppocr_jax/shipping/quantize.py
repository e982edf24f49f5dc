"""8-bit ONNX files by onnxruntime's static quantisation, with what they cost in hmean."""

import contextlib
import logging
import pathlib

import numpy as np
import onnx
from onnxruntime import quantization

from ppocr_jax.data.label_index import join
from ppocr_jax.data.labels import read_sources
from ppocr_jax.data.resize import plan_size, read_image, resize_image
from ppocr_jax.data.splits import read_validation
from ppocr_jax.errors import UserError
from ppocr_jax.onnx_files import door
from ppocr_jax.onnx_files.session import make_onnx_predict, make_values, open_session
from ppocr_jax.scoring import evaluation

COUNT = 48  # images that the ranges of the activations are taken from
# Convolutions that stay float: those at the finest sizes, and the head. On ICDAR 2015 (84 images)
# 8 bits in the stem and first stage alone cost the published student 0.050 hmean, in the head
# 0.022, and in any of the other parts nothing.
FLOAT = ("backbone.conv", "backbone.stage0.", "backbone.bb_0_", "head.")


class _Images(quantization.CalibrationDataReader):
    """Feeds images to the calibration one at a time, at their size of evaluation."""

    def __init__(self, paths, rule, included, shape):
        self._paths, self._rule = iter(paths), rule
        self._included, self._shape = included, shape

    def get_next(self):
        path = next(self._paths, None)
        if path is None:
            return None
        image = read_image(path)
        size = self._shape or plan_size(
            *image.shape[:2], limit_side=self._rule.limit_side, limit_type=self._rule.limit_type
        )
        return {"x": make_values(resize_image(image, *size)[None], self._included)}


def calibration_images(config):
    """Paths of training images, evenly spaced, `COUNT` at most.

    Raises:
        UserError: there is no training split to take them from.
    """
    samples = join(read_sources(config.data.train, config.data.root))
    if not samples:
        raise UserError(f"{config.data.train}: holds no image to calibrate with")
    picked = sorted({int(i) for i in np.linspace(0, len(samples) - 1, COUNT)})
    return [samples[i].image_path for i in picked]


def quantize(source, output, config, form):
    """Writes the 8-bit form of an ONNX file; returns the number of images it was calibrated with.

    Weights are int8 per output channel, activations uint8 by the range seen in the images, both
    in all convolutions but those of `FLOAT`.

    Args:
        source, output: paths of the two files; metadata goes from one to the other.
        config: a whole config with its data.
        form: `deployment.Form` of the source.
    """
    paths = calibration_images(config)
    reader = _Images(paths, config.eval, form.include_normalisation, form.shape)
    wide = onnx.load(str(source))
    narrowed = [
        node.name
        for node in wide.graph.node
        if node.op_type == "Conv" and not node.name.startswith(FLOAT)
    ]
    with _only_errors():  # it advises on preprocessing that is done here
        quantization.quantize_static(
            str(source),
            str(output),
            reader,
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
            activation_type=quantization.QuantType.QUInt8,
            nodes_to_quantize=narrowed,
        )
    narrow = onnx.load(str(output))
    onnx.helper.set_model_props(narrow, {prop.key: prop.value for prop in wide.metadata_props})
    narrow.producer_name, narrow.producer_version = wide.producer_name, wide.producer_version
    pathlib.Path(output).write_bytes(door.seal(narrow))
    return len(paths)


@contextlib.contextmanager
def _only_errors():
    """Silences warnings of the root logger, which onnxruntime's tools write to."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def cost(config, before, after):
    """What quantisation costs on the validation split: `{"hmean_float", "hmean", "loss", ...}`.

    Args:
        config: a whole config with its data.
        before, after: paths of both files.
    """
    samples = read_validation(config)
    scores = [
        evaluation.evaluate(make_onnx_predict(open_session(path), path), None, samples, config)[0]
        for path in (before, after)
    ]
    return {
        "hmean_float": scores[0]["hmean"],
        "hmean": scores[1]["hmean"],
        "loss": scores[0]["hmean"] - scores[1]["hmean"],
        "images": scores[0]["images"],
        "images_per_s_float": scores[0]["images_per_s"],
        "images_per_s": scores[1]["images_per_s"],
    }
