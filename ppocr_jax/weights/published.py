"""PaddleOCR's published weights that our recipes start from, by name, size and SHA-256."""

import difflib
from typing import NamedTuple

BASE_URL = "https://paddleocr.bj.bcebos.com"


class Published(NamedTuple):
    """A published file.

    Attributes:
        path: below BASE_URL.
        what: description for users.
        size: of the file in bytes; None where it is not known here.
        sha256: of the file in hex; None where it is not known here.
        member: file name of the weights inside a `.tar`, without folders; None when the file
            itself holds the weights.
    """

    path: str
    what: str
    size: int | None = None
    sha256: str | None = None
    member: str | None = None


def _tree(path: str, language: str) -> Published:
    """An archive with the three networks of a CML run."""
    return Published(
        path, f"{language}: student, student2 and teacher by CML", member="best_accuracy.pdparams"
    )


FILES = {
    "MobileNetV3_large_x0_5_pretrained": Published(
        "pretrained/MobileNetV3_large_x0_5_pretrained.pdparams",
        "ImageNet backbone of the student",
        3_189_601,
        "808738cface328c93035cb861f656a381efd407127d5aac13a32f84dbefd52a4",
    ),
    "ResNet50_vd_ssld_pretrained": Published(
        "pretrained/ResNet50_vd_ssld_pretrained.pdparams",
        "ImageNet backbone of the teacher",
        94_351_238,
        "13800b24e1e75c30ddfbd29a323b69db030732655220390f3be84deadcb3b53a",
    ),
    "ch_PP-OCRv3_det_distill_train": _tree(
        "PP-OCRv3/chinese/ch_PP-OCRv3_det_distill_train.tar", "Chinese and English"
    ),
    "en_PP-OCRv3_det_distill_train": _tree(
        "PP-OCRv3/english/en_PP-OCRv3_det_distill_train.tar", "English"
    ),
    "Multilingual_PP-OCRv3_det_distill_train": _tree(
        "PP-OCRv3/multilingual/Multilingual_PP-OCRv3_det_distill_train.tar", "many languages"
    ),
}

# Files beside them that users ask for, but which hold no weights that can be read here.
NOT_READ = {
    "ch_PP-OCRv3_det_infer": "a program for Paddle's inference engine, from which weights cannot "
    "be read; use ch_PP-OCRv3_det_distill_train, or its ONNX form and `ppocr_jax.extract`",
}


def suggest(name: str) -> str:
    """A hint for a name that is close to that of published weights; "" for others."""
    name = name.removesuffix(".pdparams")
    near = difflib.get_close_matches(name, FILES, 1, 0.8)
    hint = NOT_READ.get(name) or (f"did you mean {near[0]}?" if near else "")
    return f"; {hint}" if hint else ""
