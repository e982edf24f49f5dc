"""Quantises ONNX files to 8 bits with onnxruntime, and measures what that costs in hmean."""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from ml_collections import ConfigDict
from onnxruntime import quantization

from ppocr_jax.data.label_index import join
from ppocr_jax.data.labels import read_sources
from ppocr_jax.data.resize import plan_size, read_image, resize_image
from ppocr_jax.data.splits import read_validation
from ppocr_jax.errors import UserError
from ppocr_jax.onnx_files import door
from ppocr_jax.onnx_files.session import make_onnx_predict, make_values, open_session
from ppocr_jax.scoring import evaluation
from ppocr_jax.shipping.deployment import Form

COUNT = 48  # calibration images, from which the ranges of activations are taken
# Names of convolutions that stay float32: those at the finest strides, and the head. On ICDAR 2015
# (84 images), 8 bits in the stem and first stage alone cost the published student 0.050 hmean, in
# the head 0.022, and in any other part nothing.
FLOAT = ("backbone.conv", "backbone.stage0.", "backbone.bb_0_", "head.")

AnyPath = str | os.PathLike[str]


class _Images(quantization.CalibrationDataReader):
    """Feeds images to the calibration one by one, at their size at evaluation."""

    def __init__(
        self, paths: Sequence[str], rule: Any, included: bool, shape: tuple[int, int] | None
    ) -> None:
        self._paths, self._rule = iter(paths), rule
        self._included, self._shape = included, shape

    def get_next(self) -> dict[str, np.ndarray] | None:
        path = next(self._paths, None)
        if path is None:
            return None
        image = read_image(path)
        size = self._shape or plan_size(
            *image.shape[:2], limit_side=self._rule.limit_side, limit_type=self._rule.limit_type
        )
        return {"x": make_values(resize_image(image, *size)[None], self._included)}


def calibration_images(config: ConfigDict) -> list[str]:
    """Paths of at most `COUNT` training images, evenly spaced over the split.

    Raises:
        UserError: there is no training split, or it is empty.
    """
    samples = join(read_sources(config.data.train, config.data.root))
    if not samples:
        raise UserError(f"{config.data.train}: holds no images to calibrate with")
    picked = sorted({int(i) for i in np.linspace(0, len(samples) - 1, COUNT)})
    return [samples[i].image_path for i in picked]


def quantize(source: AnyPath, output: AnyPath, config: ConfigDict, form: Form) -> int:
    """Writes the 8-bit form of an ONNX file.

    In all convolutions except those in `FLOAT`, weights become int8 with a scale per output
    channel, and activations uint8 with the range seen on training images.

    Args:
        source, output: paths of the two files; metadata is copied.
        config: a whole config with its data.
        form: the options of the source.

    Returns:
        Number of calibration images.
    """
    paths = calibration_images(config)
    reader = _Images(paths, config.eval, form.include_normalisation, form.shape)
    wide = onnx.load(str(source))
    narrowed = [
        node.name
        for node in wide.graph.node
        if node.op_type == "Conv" and not node.name.startswith(FLOAT)
    ]
    with _only_errors():  # it advises to preprocess the model, which the export has done
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
    # The quantiser writes a new model: metadata, producer and checksum have to be set again.
    narrow = onnx.load(str(output))
    onnx.helper.set_model_props(narrow, {prop.key: prop.value for prop in wide.metadata_props})
    narrow.producer_name, narrow.producer_version = wide.producer_name, wide.producer_version
    pathlib.Path(output).write_bytes(door.seal(narrow))
    return len(paths)


@contextlib.contextmanager
def _only_errors() -> Iterator[None]:
    """Silences warnings of the root logger, which onnxruntime's tools use."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def cost(config: ConfigDict, before: AnyPath, after: AnyPath) -> dict[str, float]:
    """What quantisation costs in hmean on the validation set.

    Args:
        config: a whole config with its data.
        before, after: paths of both files.

    Returns:
        `hmean` of the 8-bit file, `hmean_float` of the other, their difference `loss`, the number
        of images, and the speeds of both.
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
