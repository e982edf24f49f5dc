"""Labels as other tools write them -> pictures with polygons, and a folder to train from.

One module reads one format; `recognition` finds out by content which it is, `preparation` makes
the folder. Readers give what the files hold, in the picture as the tool showed it.
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

# Name -> reader of text files: `fits(data)` on the first bytes of each, `read(paths, job)` on all
# that fit. The first that fits has it.
TEXT_FORMATS = Choices(
    __name__,
    totaltext="total_text.TOTAL_TEXT",
    totaltextmat="total_text_mat.TOTAL_TEXT_MAT",
    ctw1500="ctw.CTW",
    paddleocr="label_files.LABEL_FILES",
    icdar="gt_files.GT_FILES",
)

# What is accepted, for people.
ACCEPTED = {
    "labelme": "a .json per picture with `shapes` (labelme, X-AnyLabeling)",
    "coco": "a .json with `images` and `annotations`: polygons, boxes, RLE masks (also of CVAT)",
    "cocotext": "COCO-Text's and TextOCR's .json with `imgs` and `anns`",
    "labelstudio": "Label Studio's export as JSON or JSON-MIN",
    "icdar2019": "the .json of ArT, LSVT and ReCTS",
    "paddleocr": "PPOCRLabel's Label.txt, label files of `path<TAB>JSON`",
    "icdar": "a .txt per picture with x1,y1,...,text (ICDAR 2013/2015, MLT, RCTW, CTW1500's test)",
    "totaltext": "Total-Text's .txt with `x: [[...]], y: [[...]]`",
    "totaltextmat": "Total-Text's .mat with `polygt`",
    "ctw1500": "CTW1500's .xml with `segs`",
}


def accepted():
    """What is accepted, in one line."""
    return "; ".join(f"{name} ({text})" for name, text in ACCEPTED.items())
