"""Converts the labels of other tools into a data set to train from.

Each module reads one format. `sources` recognises the format by content, `preparation` writes the
data set. Readers return what the files hold, in the coordinates of the image as the tool showed it.
"""

from ppocr_jax.choices import Choices

# Name -> reader of JSON files: an object with `fits(value)` and `read(value, path, job)`.
JSON_FORMATS = Choices(
    __name__,
    labelme="labelme.LABELME",
    coco="coco.COCO",
    cocotext="coco_text.COCO_TEXT",
    labelstudio="label_studio.LABEL_STUDIO",
    icdar2019="icdar2019.ICDAR2019",
)

# Name -> reader of text files: `fits(data)` looks at the first bytes of a file, `read(paths, job)`
# reads all files that fit. The first format that fits wins, so the strictest tests come first.
TEXT_FORMATS = Choices(
    __name__,
    totaltext="total_text.TOTAL_TEXT",
    totaltextmat="total_text_mat.TOTAL_TEXT_MAT",
    ctw1500="ctw.CTW",
    paddleocr="label_files.LABEL_FILES",
    icdar="gt_files.GT_FILES",
)

# What each format looks like, for error messages.
ACCEPTED = {
    "labelme": "one .json per image with `shapes` (labelme, X-AnyLabeling)",
    "coco": "a .json with `images` and `annotations`: polygons, boxes, RLE masks (CVAT exports it)",
    "cocotext": "the .json of COCO-Text or TextOCR with `imgs` and `anns`",
    "labelstudio": "Label Studio's export as JSON or JSON-MIN",
    "icdar2019": "the .json of ArT, LSVT or ReCTS",
    "paddleocr": "PPOCRLabel's Label.txt, or label files of `path<TAB>JSON`",
    "icdar": "one .txt per image with x1,y1,...,text (ICDAR 2013/2015, MLT, RCTW, CTW1500's test)",
    "totaltext": "Total-Text's .txt with `x: [[...]], y: [[...]]`",
    "totaltextmat": "Total-Text's .mat with `polygt`",
    "ctw1500": "CTW1500's .xml with `segs`",
}


def accepted() -> str:
    """All accepted formats, on one line."""
    return "; ".join(f"{name} ({text})" for name, text in ACCEPTED.items())
