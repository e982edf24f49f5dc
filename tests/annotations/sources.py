"""Writes the same words on the same images in the format of every tool."""

import json

import cv2
import numpy as np
import scipy.io
from annotations.rle import compressed, counts_of

WORDS = (  # points, text; the second is marked as not to be learned
    ([[8, 10], [70, 10], [70, 28], [8, 28]], "word"),
    ([[10, 38], [80, 42], [79, 58], [9, 54]], "###"),
    ([[12, 66], [40, 64], [84, 70], [82, 86], [44, 82], [14, 84]], "curved"),
)
COUNT = 6


def draw(folder):
    """Writes images of 96 x 96 pixels with the words' outlines; returns their names."""
    folder.mkdir(parents=True)
    names = []
    for index in range(COUNT):
        rng = np.random.default_rng(index)
        coarse = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)
        image = cv2.resize(coarse, (96, 96), interpolation=cv2.INTER_CUBIC)
        for points, _ in WORDS:
            cv2.polylines(image, [np.array(points)], True, (20, 20, 20))
        names.append(f"p{index}.png")
        cv2.imwrite(str(folder / names[-1]), image)
    return names


def labelme(folder, names):
    for name in names:
        shapes = [
            {"label": text, "points": points, "group_id": None, "description": "",
             "shape_type": "polygon", "flags": {}, "mask": None}
            for points, text in WORDS
        ]  # fmt: skip
        value = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": name,
                 "imageData": None, "imageHeight": 96, "imageWidth": 96}  # fmt: skip
        (folder / name).with_suffix(".json").write_text(json.dumps(value))


def coco(folder, names):
    images = [{"id": i, "file_name": n, "width": 96, "height": 96} for i, n in enumerate(names)]
    annotations = [
        {"image_id": i, "category_id": 1, "iscrowd": int(text == "###"), "text": text,
         "segmentation": [[value for point in points for value in point]]}
        for i in range(len(names))
        for points, text in WORDS
    ]  # fmt: skip
    value = {"images": images, "annotations": annotations,
             "categories": [{"id": 1, "name": "text"}]}  # fmt: skip
    (folder / "coco.json").write_text(json.dumps(value))


def coco_masks(folder, names):
    coco(folder, names)
    value = json.loads((folder / "coco.json").read_text())
    for index, annotation in enumerate(value["annotations"]):
        mask = np.zeros((96, 96), np.uint8)
        cv2.fillPoly(mask, [np.array(WORDS[index % len(WORDS)][0])], 1)
        counts = counts_of(mask)
        packed = compressed(counts) if index % 2 else counts
        annotation["segmentation"] = {"size": [96, 96], "counts": packed}
    (folder / "coco.json").write_text(json.dumps(value))


def cocotext(folder, names):
    words = {
        f"{i}{j}": {"image_id": i, "mask": [value for point in points for value in point],
                    "utf8_string": text, "legibility": "illegible" if text == "###" else "legible"}
        for i in range(len(names))
        for j, (points, text) in enumerate(WORDS)
    }  # fmt: skip
    images = {
        str(i): {"id": i, "file_name": name, "width": 96, "height": 96}
        for i, name in enumerate(names)
    }
    value = {"imgs": images, "anns": words, "imgToAnns": {}, "cats": {}}
    (folder / "cocotext.json").write_text(json.dumps(value))


def labelstudio(folder, names):
    tasks = []
    for number, name in enumerate(names):
        result = [
            {"id": f"r{i}", "type": "polygonlabels", "from_name": "label", "to_name": "image",
             "original_width": 96, "original_height": 96, "image_rotation": 0,
             "value": {"points": (np.array(points) / 0.96).tolist(), "closed": True,
                       "polygonlabels": ["ignore" if text == "###" else "Text"], "text": [text]}}
            for i, (points, text) in enumerate(WORDS)
        ]  # fmt: skip
        tasks.append({"id": number, "annotations": [{"id": number, "result": result}],
                      "data": {"ocr": f"/data/upload/1/0123abcd-{name}"}})  # fmt: skip
    (folder / "project.json").write_text(json.dumps(tasks))


def paddleocr(folder, names):
    entries = [{"transcription": t, "points": p, "difficult": t == "###"} for p, t in WORDS]
    lines = [f"{folder.name}/{name}\t{json.dumps(entries)}\n" for name in names]
    (folder / "Label.txt").write_text("".join(lines))


def icdar(folder, names):
    for name in names:
        lines = [
            ",".join(str(v) for p in points for v in p) + f",####{'' if text == '###' else text}\n"
            for points, text in WORDS
        ]
        (folder / f"gt_{name}").with_suffix(".txt").write_text("".join(lines))


def totaltext(folder, names):
    for name in names:
        lines = []
        for points, text in WORDS:
            x, y = (" ".join(map(str, axis)) for axis in zip(*points, strict=True))
            text = "#" if text == "###" else text
            lines.append(f"x: [[{x}]], y: [[{y}]], ornt: [u'm'], transcriptions: [u'{text}']\n")
        (folder / f"poly_gt_{name}").with_suffix(".txt").write_text("".join(lines))


def totaltextmat(folder, names):
    for name in names:
        table = np.empty((len(WORDS), 6), object)
        for row, (points, text) in enumerate(WORDS):
            x, y = (np.array([axis], np.int16) for axis in zip(*points, strict=True))
            text = np.array(["#" if text == "###" else text])
            table[row] = ["x:", x, "y:", y, text, np.array(["c"])]
        path = (folder / f"poly_gt_{name}").with_suffix(".mat")
        scipy.io.savemat(path, {"polygt": table}, do_compression=True)


def icdar2019(folder, names):
    words = {
        f"gt_{name.removesuffix('.png')}": [
            {"transcription": "" if text == "###" else text, "points": points,
             "language": "Latin", "illegibility": text == "###"}
            for points, text in WORDS
        ]
        for name in names
    }  # fmt: skip
    (folder / "train_labels.json").write_text(json.dumps(words))


def ctw1500(folder, names):
    for name in names:
        boxes = "".join(
            f"<box><label>{text}</label>"
            f"<segs>{','.join(str(v) for p in points for v in p)}</segs></box>"
            for points, text in WORDS
        )
        value = f'<Annotations><image file="{name}">{boxes}</image></Annotations>'
        (folder / name).with_suffix(".xml").write_text(value)


FORMATS = (labelme, coco, coco_masks, cocotext, labelstudio, icdar2019, paddleocr, icdar, totaltext,
           totaltextmat, ctw1500)  # fmt: skip
